{{/* Names, labels and images. Those of Tetragon's chart stay: a release of it can be upgraded to this one. */}}

{{- define "tetragon.name" -}}
{{- default .Release.Name .Values.tetragon.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tetragon.configMapName" -}}
{{- printf "%s-config" (include "tetragon.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tetragon.grpcSecret" -}}
{{- printf "%s-server-certs" (include "tetragon.name" . | trunc 50 | trimSuffix "-") }}
{{- end }}

{{- define "tetragon.grpcAuthoritySecret" -}}
{{- printf "%s-ca" (include "tetragon.name" . | trunc 50 | trimSuffix "-") }}
{{- end }}

{{/* What Tetragon's clients expect in the certificate of every node: one Secret serves them all. */}}
{{- define "tetragon.grpcName" -}}
*.tetragon-grpc.cilium.io
{{- end }}

{{- define "tetragon.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "tetragon.name" .) }}
{{- end }}

{{/* A Service's name has at most 63 characters: the Services of the operator are this and -metrics or -webhook. What is cut
is the release's name, not what tells the operator's objects from the agents'. */}}
{{- define "tetragon-operator.name" -}}
{{- $own := printf "%s-operator" (.Release.Name | trunc 46 | trimSuffix "-") }}
{{- default $own .Values.tetragonOperator.nameOverride | trunc 55 | trimSuffix "-" }}
{{- end }}

{{- define "tetragon-operator.configMapName" -}}
{{- printf "%s-config" (include "tetragon-operator.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tetragon-operator.webhookName" -}}
{{- printf "%s-webhook" (include "tetragon-operator.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tetragon-operator.serviceAccount" -}}
{{- .Values.tetragonOperator.serviceAccount.name | default (printf "%s-service-account" (include "tetragon-operator.name" .)) }}
{{- end }}

{{/* Digest of a ConfigMap's values: other values, another pod. The pod compares it with what the kubelet mounts, which may
be the values of before: `NAME=VALUE` lines sorted by name, see daemon/src/late.rs. */}}
{{- define "tetragon.digest" -}}
{{- $lines := "" }}
{{- range $name, $value := (fromYaml .).data }}
{{- $lines = printf "%s%s=%s\n" $lines $name (trim (toString $value)) }}
{{- end }}
{{- sha256sum $lines }}
{{- end }}

{{- define "tetragon.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tetragon-operator.selectorLabels" -}}
app.kubernetes.io/name: tetragon-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tetragon.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
{{- end }}

{{- define "tetragon.labels" -}}
{{ include "tetragon.selectorLabels" . }}
{{ include "tetragon.commonLabels" . }}
app.kubernetes.io/component: agent
{{- end }}

{{- define "tetragon-operator.labels" -}}
{{ include "tetragon-operator.selectorLabels" . }}
{{ include "tetragon.commonLabels" . }}
app.kubernetes.io/component: operator
{{- end }}

{{/* What selects the agents' pods. */}}
{{- define "tetragon.podSelector" -}}
{{- with .Values.selectorLabelsOverride }}{{ toYaml . }}{{ else }}{{ include "tetragon.selectorLabels" . }}{{ end }}
{{- end }}

{{/* A reference from an image's values and the chart's version. */}}
{{- define "tetragon.image" -}}
{{- with .image.override }}{{ . }}{{ else }}{{ .image.repository }}:{{ .image.tag | default (printf "v%s" .version) }}{{ end }}
{{- end }}

{{/* Labels of a monitor or rule: those of the values, or of the component, and more. */}}
{{- define "tetragon.monitorLabels" -}}
{{- with .monitor.labelsOverride }}{{ toYaml . }}{{ else }}{{ .labels }}{{ end }}
{{- with .monitor.extraLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Whether there are service accounts and roles to make for the operator. */}}
{{- define "tetragon-operator.makesAccount" -}}
{{- if and .Values.tetragonOperator.enabled .Values.serviceAccount.create .Values.tetragonOperator.serviceAccount.create }}true{{ end }}
{{- end }}

{{/* Whether policies are checked when they are applied. */}}
{{- define "tetragon-operator.admits" -}}
{{- if and .Values.tetragonOperator.enabled .Values.tetragonOperator.webhook.enabled .Values.tetragonOperator.tracingPolicy.enabled }}true{{ end }}
{{- end }}

{{/* Whether the cluster can tie a TetragonNode to the node in its writer's token: its version says it, so that
`helm template`, which asks no cluster, makes the same. */}}
{{- define "tetragon.nodeOwnerPolicy" -}}
{{- if and .Values.tetragon.enabled .Values.tetragon.enableK8sAPI .Values.tetragon.nodeOwnerPolicy.enabled (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) }}true{{ end }}
{{- end }}
