# Sourced by up.sh: the cluster's certificate authority, everyone's certificates and kubeconfigs.
# shellcheck shell=bash disable=SC2154 # the variables are cluster.sh's

# key NAME: a private key, elliptic because RSA ones take a second each.
key() {
    openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$pki/$1.key" 2>/dev/null ||
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$pki/$1.key" 2>/dev/null
}

# certificate NAME SUBJECT [SUBJECT-ALTERNATIVE-NAMES]
certificate() {
    key "$1"
    openssl req -new -key "$pki/$1.key" -subj "$2" -out "$pki/$1.csr"
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "${3:-DNS:$1}" >"$pki/$1.ext"
    openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 30 \
        -extfile "$pki/$1.ext" -out "$pki/$1.crt" 2>/dev/null
    rm "$pki/$1".{csr,ext}
}

# kubeconfig_of NAME FILE: everything inside the file, so that it can be handed on.
kubeconfig_of() {
    (
        umask 077
        cat >"$2" <<YAML
apiVersion: v1
kind: Config
clusters:
  - name: $name
    cluster: {server: "https://$address:6443", certificate-authority-data: $(base64 -w0 "$pki/ca.crt")}
users:
  - name: $1
    user: {client-certificate-data: $(base64 -w0 "$pki/$1.crt"), client-key-data: $(base64 -w0 "$pki/$1.key")}
contexts:
  - name: $name
    context: {cluster: $name, user: $1}
current-context: $name
YAML
    )
}

make_pki() {
    pki=$state/pki
    mkdir -p "$pki" "$state/config"
    key ca
    openssl req -x509 -new -key "$pki/ca.key" -days 30 -subj "/CN=$netns" -out "$pki/ca.crt"
    certificate apiserver /CN=kube-apiserver \
        "IP:127.0.0.1,IP:10.96.0.1,IP:$address,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost"
    certificate apiserver-kubelet /O=system:masters/CN=apiserver-kubelet
    certificate admin /O=system:masters/CN=admin
    certificate controller-manager /CN=system:kube-controller-manager
    certificate scheduler /CN=system:kube-scheduler
    certificate proxy /CN=system:kube-proxy
    certificate coredns /CN=system:coredns
    certificate kubelet "/O=system:nodes/CN=system:node:$node" "DNS:$node,IP:$address"
    key service-account
    openssl pkey -in "$pki/service-account.key" -pubout -out "$pki/service-account.pub"

    local user
    for user in controller-manager scheduler proxy coredns kubelet; do
        kubeconfig_of "$user" "$state/config/$user.kubeconfig"
    done
    kubeconfig_of admin "$state/config/admin.kubeconfig"
}
