// Only versions: whence the tests take the schemas that rendered objects are held against. Nothing of it is compiled.
module medtrain.io/tests/chart

go 1.24

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	k8s.io/kubernetes v1.34.4
)
