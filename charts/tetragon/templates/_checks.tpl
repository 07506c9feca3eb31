{{/* What values.schema.json cannot say: rules between values, and values that nothing here can honour. All that
is wrong is said at once. */}}

{{/* The leaves of `given` that differ from `known` and from each of `earlier`, which has other defaults for some of
them; one finding a line. With `without` they are those that are one of the earlier defaults: one path a line. */}}
{{- define "tetragon.differences" -}}
{{- range $key, $known := .known }}
{{- if hasKey $.given $key }}
{{- $given := index $.given $key }}
{{- $path := list $.path $key | compact | join "." }}
{{- $earlier := list }}
{{- range $.earlier }}
{{- if hasKey . $key }}
{{- $earlier = append $earlier (index . $key) }}
{{- end }}
{{- end }}
{{- if and (kindIs "map" $known) (kindIs "map" $given) $known }}
{{- include "tetragon.differences" (dict "known" $known "given" $given "earlier" $earlier "path" $path "why" $.why "without" $.without) }}
{{- else if and (ne (toJson $given) (toJson $known)) (or $given $known) }}
{{- $accepted := list }}
{{- range $earlier }}
{{- $accepted = append $accepted (toJson .) }}
{{- end }}
{{- if has (toJson $given) $accepted }}
{{- if $.without }}
{{ $path }}
{{- end }}
{{- else if not $.without }}
{{ $path }}: {{ toJson $given }} is not supported: {{ $.why }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tetragon.unsupported" -}}
{{- range .root.Files.Get "files/unsupported.yaml" | fromYamlArray }}
{{- $earlier := list }}
{{- range .earlier }}
{{- $earlier = append $earlier .values }}
{{- end }}
{{- include "tetragon.differences" (dict "known" .values "given" $.root.Values "earlier" $earlier "path" "" "why" .why "without" $.without) }}
{{- end }}
{{- end }}

{{- define "tetragon.findings" -}}
{{- include "tetragon.unsupported" (dict "root" . "without" false) }}
{{- $agent := .Values.tetragon }}
{{- $operator := .Values.tetragonOperator }}
{{- range $path, $image := dict "tetragon.image" $agent.image "tetragonOperator.image" $operator.image }}
{{- $reference := $image.override | default $image.repository }}
{{- if regexMatch "(^|/)cilium/tetragon(-operator)?($|[:@])" $reference }}
{{ $path }}: {{ $reference }} is Tetragon's program, which does not know this chart's flags; remove it from the values
{{- end }}
{{- end }}
{{- if not $agent.enableK8sAPI }}
{{- range $path, $filters := dict "tetragon.exportAllowList" $agent.exportAllowList "tetragon.exportDenyList" $agent.exportDenyList }}
{{- with regexFind "\"(namespace|namespace_regex|pod_regex|container_name_regex|labels)\"\\s*:" $filters }}
{{ $path }}: {{ . | trimSuffix ":" | trim }} needs tetragon.enableK8sAPI: without it no pod is known, and every event has the namespace ""; filter by binary_regex, event_set or policy_names, or set it to ""
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.rthooks.enabled (ne .Values.rthooks.interface "nri-hook") }}
rthooks.interface: {{ .Values.rthooks.interface | quote }}: this chart installs no OCI hook; right would be nri-hook, with which the agent itself is the runtime's plugin. It answers a tetragon-oci-hook that is installed otherwise
{{- end }}
{{- if not (regexMatch "^(0?[0-7]{3}|)$" (toString $agent.exportFilePerm)) }}
tetragon.exportFilePerm: {{ $agent.exportFilePerm }} is no mode in octal; right would be such as "640"
{{- else if and (not (kindIs "string" $agent.exportFilePerm)) (lt (int $agent.exportFilePerm) 600) }}
tetragon.exportFilePerm: {{ $agent.exportFilePerm }}: a number is taken by its digits, and YAML reads 0640 as 416; right would be "640", in quotes
{{- end }}
{{- with $agent.processAncestors.enabled }}
{{- if not (has "base" (splitList "," .)) }}
tetragon.processAncestors.enabled: {{ . | quote }} needs base too: ancestors are kept by the events of the base sensor
{{- end }}
{{- end }}
{{- if and $agent.cri.enabled (not $agent.cri.socketHostPath) }}
tetragon.cri.socketHostPath: it is missing; right would be such as /run/containerd/containerd.sock or /run/crio/crio.sock
{{- end }}
{{- if and $agent.cri.enabled (not $agent.enableK8sAPI) }}
tetragon.cri.enabled: it needs tetragon.enableK8sAPI: without it no event waits for its pod
{{- end }}
{{- include "tetragon.tlsFindings" . }}
{{- if hasKey $agent.livenessProbe "grpc" }}
tetragon.livenessProbe.grpc: health is served over HTTP; right would be httpGet: {path: /healthz, port: {{ $agent.healthGrpc.port }}}
{{- end }}
{{- with .Values.podLabelsOverride }}
{{- if ne (index . "app.kubernetes.io/name" | default "") "tetragon" }}
podLabelsOverride: the operator knows agents by the label app.kubernetes.io/name: tetragon, which must be among them
{{- end }}
{{- end }}
{{- if and $agent.prometheus.prometheusRule.enabled $agent.prometheus.prometheusRule.rules.newBinaries.enabled (not (has "binary" (splitList "," ($agent.prometheus.metricsLabelFilter | nospace)))) }}
tetragon.prometheus.prometheusRule.rules.newBinaries: it needs `binary` in tetragon.prometheus.metricsLabelFilter; switch the rule off, or keep the label
{{- end }}
{{- range $what, $monitor := dict "serviceMonitor" $agent.prometheus.serviceMonitor "podMonitor" $agent.prometheus.podMonitor "prometheusRule" $agent.prometheus.prometheusRule }}
{{- if and $monitor.enabled (not $agent.prometheus.enabled) }}
tetragon.prometheus.{{ $what }}.enabled: there are no metrics with tetragon.prometheus.enabled: false
{{- end }}
{{- end }}
{{- if and $agent.prometheus.serviceMonitor.enabled $agent.prometheus.podMonitor.enabled }}
tetragon.prometheus: with serviceMonitor and podMonitor everything would be read twice; choose one
{{- end }}
{{- if and $operator.prometheus.serviceMonitor.enabled (not $operator.prometheus.enabled) }}
tetragonOperator.prometheus.serviceMonitor.enabled: there are no metrics with tetragonOperator.prometheus.enabled: false
{{- end }}
{{- if and (gt (int $operator.replicas) 1) (not $operator.failoverLease.enabled) }}
tetragonOperator.failoverLease.enabled: {{ $operator.replicas }} replicas need it: without the Lease all of them would write
{{- end }}
{{- if and (gt (int $operator.replicas) 1) $operator.hostNetwork (eq (include "tetragon-operator.spreads" .) "") }}
tetragonOperator.hostNetwork: {{ $operator.replicas }} replicas need different nodes; set tetragonOperator.affinity so that they are on different ones
{{- end }}
{{- with pick $operator.podSecurityContext "allowPrivilegeEscalation" "capabilities" "privileged" "procMount" "readOnlyRootFilesystem" }}
{{- /* The default of Tetragon's chart until 1.4: the container here has it anyway. */}}
{{- if ne (toJson .) "{\"allowPrivilegeEscalation\":false,\"capabilities\":{\"drop\":[\"ALL\"]}}" }}
tetragonOperator.podSecurityContext: {{ toJson . }} is a container's; right would be tetragonOperator.containerSecurityContext
{{- end }}
{{- end }}
{{- include "tetragon.leaseFindings" $operator.failoverLease }}
{{- include "tetragon.portFindings" . }}
{{- include "tetragon.socketFindings" . }}
{{- include "tetragon.exportFindings" . }}
{{- include "tetragon.crdFindings" . }}
{{- end }}

{{/* Milliseconds of a duration as the schema has it: 1m30s. */}}
{{- define "tetragon.milliseconds" -}}
{{- $units := dict "ms" 1.0 "s" 1000.0 "m" 60000.0 "h" 3600000.0 }}
{{- $sum := 0.0 }}
{{- range regexFindAll "[0-9.]+(ms|s|m|h)" . -1 }}
{{- $sum = addf $sum (mulf (float64 (regexFind "[0-9.]+" .)) (get $units (regexFind "[a-z]+" .))) }}
{{- end }}
{{- $sum }}
{{- end }}

{{/* The rules of the operator, which would not start. */}}
{{- define "tetragon.leaseFindings" -}}
{{- if .enabled }}
{{- $lease := include "tetragon.milliseconds" .leaseDuration | float64 }}
{{- $renew := include "tetragon.milliseconds" .leaseRenewDeadline | float64 }}
{{- $retry := include "tetragon.milliseconds" .leaseRetryPeriod | float64 }}
{{- if le $lease $renew }}
tetragonOperator.failoverLease.leaseDuration: {{ .leaseDuration }} must be longer than leaseRenewDeadline, {{ .leaseRenewDeadline }}, or a second leader begins before the first has stopped
{{- end }}
{{- if or (le $renew $retry) (eq $retry 0.0) }}
tetragonOperator.failoverLease.leaseRetryPeriod: {{ .leaseRetryPeriod }} must be above zero and shorter than leaseRenewDeadline, {{ .leaseRenewDeadline }}, or the lease is lost before it is renewed
{{- end }}
{{- if lt $lease 1000.0 }}
tetragonOperator.failoverLease.leaseDuration: {{ .leaseDuration }}: a Lease counts in seconds; right would be 15s
{{- end }}
{{- end }}
{{- end }}

{{/* Two listeners on one port: in one pod, or of both on the node's network. */}}
{{- define "tetragon.portFindings" -}}
{{- $agent := .Values.tetragon }}
{{- $operator := .Values.tetragonOperator }}
{{- $ports := list }}
{{- if $agent.enabled }}
{{- $network := ternary "node" "agent" .Values.hostNetwork }}
{{- if $agent.prometheus.enabled }}
{{- $ports = append $ports (list $network "tetragon.prometheus.port" (int $agent.prometheus.port)) }}
{{- end }}
{{- if $agent.healthGrpc.enabled }}
{{- $ports = append $ports (list $network "tetragon.healthGrpc.port" (int $agent.healthGrpc.port)) }}
{{- end }}
{{- if and $agent.grpc.enabled (not (hasPrefix "unix:" $agent.grpc.address)) }}
{{- $ports = append $ports (list $network "tetragon.grpc.address" (int (regexFind "[0-9]+$" $agent.grpc.address))) }}
{{- end }}
{{- end }}
{{- if $operator.enabled }}
{{- $network := ternary "node" "operator" $operator.hostNetwork }}
{{- $ports = append $ports (list $network "the operator's health" 8081) }}
{{- if $operator.prometheus.enabled }}
{{- $ports = append $ports (list $network "tetragonOperator.prometheus.port" (int $operator.prometheus.port)) }}
{{- end }}
{{- if include "tetragon-operator.admits" . }}
{{- $ports = append $ports (list $network "tetragonOperator.webhook.port" (int $operator.webhook.port)) }}
{{- end }}
{{- end }}
{{- $taken := dict }}
{{- range $ports }}
{{- $place := printf "%s:%d" (index . 0) (index . 2) }}
{{- if hasKey $taken $place }}
{{ index . 1 }}: {{ index . 2 }} is the port of {{ get $taken $place }} too; right would be another one
{{- end }}
{{- $_ := set $taken $place (index . 1) }}
{{- end }}
{{- end }}

{{/* TLS of gRPC: whether it can be, and who makes its certificate. */}}
{{- define "tetragon.tlsFindings" -}}
{{- $grpc := .Values.tetragon.grpc }}
{{- $tls := $grpc.tls }}
{{- if and $tls.enabled (or (not $grpc.enabled) (hasPrefix "unix:" $grpc.address)) }}
tetragon.grpc.tls.enabled: TLS is for HOST:PORT, and tetragon.grpc.address is {{ ternary $grpc.address "not served" $grpc.enabled }}; right would be such as :54321
{{- end }}
{{- if and $tls.requireClientCert (not $tls.enabled) }}
tetragon.grpc.tls.requireClientCert: it has no effect without tetragon.grpc.tls.enabled
{{- end }}
{{- if and $tls.enabled (not $tls.auto.enabled) (not $tls.server.existingSecret) }}
tetragon.grpc.tls.server.existingSecret: it is missing, and tetragon.grpc.tls.auto.enabled is false: nobody makes a certificate
{{- end }}
{{- if eq $tls.auto.method "cronJob" }}
tetragon.grpc.tls.auto.method: cronJob is not supported: no certificates are made by a job; right would be certmanager, or tetragon.grpc.tls.server.existingSecret: {{ include "tetragon.grpcSecret" . }} for the Secret that a job has made
{{- end }}
{{- if and $tls.enabled (eq $tls.auto.method "certmanager") (not $tls.server.existingSecret) (not $tls.auto.certManagerIssuerRef) }}
tetragon.grpc.tls.auto.certManagerIssuerRef: it is missing; right would be such as {group: cert-manager.io, kind: ClusterIssuer, name: NAME}
{{- end }}
{{- if ne (empty $tls.ca.cert) (empty $tls.ca.key) }}
tetragon.grpc.tls.ca: cert and key belong together
{{- end }}
{{- end }}

{{/* gRPC's socket in a folder that the agent cannot write: its own files are read-only. */}}
{{- define "tetragon.socketFindings" -}}
{{- $agent := .Values.tetragon }}
{{- if and $agent.enabled $agent.grpc.enabled (hasPrefix "unix://" $agent.grpc.address) $agent.securityContext.readOnlyRootFilesystem }}
{{- $socket := trimPrefix "unix://" $agent.grpc.address }}
{{- $folders := list "/var/run/tetragon" $agent.stateDirectory .Values.exportDirectory }}
{{- range concat $agent.extraVolumeMounts .Values.extraHostPathMounts }}
{{- $folders = append $folders .mountPath }}
{{- end }}
{{- $found := false }}
{{- range $folders }}
{{- $found = or $found (hasPrefix (printf "%s/" (trimSuffix "/" (toString .))) $socket) }}
{{- end }}
{{- if not $found }}
tetragon.grpc.address: {{ $socket }} is in a folder of the image, which is read-only; right would be unix:///var/run/tetragon/NAME, or a folder of tetragon.extraVolumeMounts or extraHostPathMounts
{{- end }}
{{- end }}
{{- end }}

{{/* A release that has made the CRDs, and makes them no more, deletes them, and every policy with them. Ours are kept; those of
Tetragon's chart are not. */}}
{{- define "tetragon.crdFindings" -}}
{{- if and .Release.IsUpgrade (ne .Values.crds.installMethod "helm") }}
{{- $crd := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "tracingpolicies.cilium.io" }}
{{- $annotations := dig "metadata" "annotations" dict $crd }}
{{- $ours := and (eq (get $annotations "meta.helm.sh/release-name") .Release.Name) (eq (get $annotations "meta.helm.sh/release-namespace") .Release.Namespace) }}
{{- if and $ours (ne (get $annotations "helm.sh/resource-policy") "keep") }}
crds.installMethod: {{ .Values.crds.installMethod | quote }} would delete the CRDs that this release has made, and all policies with them; right would be "helm", as before
{{- end }}
{{- end }}
{{- end }}

{{/* Replicas may be kept apart: an affinity is set that has something to say about pods. */}}
{{- define "tetragon-operator.spreads" -}}
{{- with .Values.tetragonOperator.affinity }}{{ if .podAntiAffinity }}true{{ end }}{{ end }}
{{- end }}

{{- define "tetragon.exportFindings" -}}
{{- $stdout := .Values.export.stdout }}
{{- $own := not (or $stdout.image.override $stdout.image.repository) }}
{{- if and (eq .Values.export.mode "stdout") $own (not $stdout.enabledCommand) }}
export.stdout.enabledCommand: false is for an image with a command of its own, and export.stdout.image is not set; the agent's image would start a second agent
{{- end }}
{{- if and (eq .Values.export.mode "stdout") $own $stdout.enabledCommand (not $stdout.enabledArgs) (not $stdout.commandOverride) }}
export.stdout.enabledArgs: false is for an image with arguments of its own, and export.stdout.image is not set; `tetra tail` would have no file to print, and end at once
{{- end }}
{{- if and $stdout.image.tag $own }}
export.stdout.image.tag: {{ $stdout.image.tag | quote }} is the tag of export.stdout.image.repository, which is not set; right would be both, or tetragon.image.tag for the agent's image
{{- end }}
{{- include "tetragon.filenameFindings" . }}
{{- $elastic := .Values.export.elasticsearch }}
{{- if $elastic.enabled }}
{{- if not $elastic.url }}
export.elasticsearch.url: it is missing; right would be such as https://elasticsearch.logging.svc:9200
{{- end }}
{{- $host := get (urlParse ($elastic.url | default "http://none")) "hostname" }}
{{- if and (regexMatch "\\.svc(\\.|$)" $host) .Values.hostNetwork (eq .Values.dnsPolicy "Default") }}
export.elasticsearch.url: {{ $host }} is a Service, which the node's DNS servers do not know; set dnsPolicy: ClusterFirstWithHostNet
{{- end }}
{{- if and $elastic.existingSecret $elastic.secretKeys.apiKey $elastic.secretKeys.username }}
export.elasticsearch.secretKeys: username and password, or apiKey; set the others to ""
{{- end }}
{{- if and $elastic.existingSecret (not $elastic.secretKeys.apiKey) (not (and $elastic.secretKeys.username $elastic.secretKeys.password)) }}
export.elasticsearch.secretKeys: username and password are needed, or apiKey
{{- end }}
{{- end }}
{{- end }}

{{/* The container that prints files prints what the agent writes, or what is named because somebody else writes it. */}}
{{- define "tetragon.filenameFindings" -}}
{{- $stdout := .Values.export.stdout }}
{{- if and .Values.tetragon.enabled (eq .Values.export.mode "stdout") $stdout.enabledArgs (not $stdout.argsOverride) }}
{{- $file := .Values.tetragon.exportFilename }}
{{- if and .Values.export.filenames $file (not (has $file .Values.export.filenames)) }}
export.filenames: {{ toJson .Values.export.filenames }} has not the file that the agent writes, {{ $file | quote }} (tetragon.exportFilename); leave it out, and that one is printed
{{- else if not (or .Values.export.filenames $file) }}
export.mode: stdout prints a file, and none is written with tetragon.exportFilename: ""; set export.mode to "", or name the file
{{- end }}
{{- end }}
{{- end }}
