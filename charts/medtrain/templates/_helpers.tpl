{{/* Name of the resources: the release's, with the chart's unless it says it already. */}}
{{- define "medtrain.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "medtrain.identity" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* What selects the operator's pods; the pod of `helm test` has another component. */}}
{{- define "medtrain.selectorLabels" -}}
{{ include "medtrain.identity" . }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "medtrain.labels" -}}
{{ include "medtrain.identity" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: medtrain
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* What selects the pods of stages, whatever training and namespace. The operator writes these labels. */}}
{{- define "medtrain.stageLabels" -}}
app.kubernetes.io/managed-by: medtrain-operator
app.kubernetes.io/component: stage
{{- end -}}

{{- define "medtrain.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "medtrain.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* (dict "image" … "root" $): repository@digest or repository:tag. */}}
{{- define "medtrain.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* YAML list of the namespaces in which trainings are looked for; [] is all. */}}
{{- define "medtrain.stageNamespaces" -}}
{{- $named := default .Values.watchNamespaces .Values.networkPolicies.stages.namespaces -}}
{{- default (list .Release.Namespace) $named | uniq | toYaml -}}
{{- end -}}

{{- define "medtrain.operatorConfig" -}}
defaults:
  podTemplate: {{- toYaml .Values.defaults.podTemplate | nindent 4 }}
serviceAccounts: {{- toYaml .Values.allowedServiceAccounts | nindent 2 }}
stallSeconds: {{- toYaml .Values.operator.stallSeconds | nindent 2 }}
{{- end -}}
