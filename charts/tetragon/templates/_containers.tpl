{{/* The containers of the agents' pods. */}}

{{/* securityContext of the agent. A privileged container has all capabilities and no profile; the API server refuses
privileged: true together with the others' defaults. */}}
{{- define "tetragon.securityContext" -}}
{{- $context := .Values.tetragon.securityContext }}
{{- if $context.privileged }}
{{- $context = omit $context "allowPrivilegeEscalation" "capabilities" "seccompProfile" "seLinuxOptions" }}
{{- else if and (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) (not (hasKey $context "appArmorProfile")) }}
{{- /* The runtime's profile forbids to write below /sys/fs/bpf. */}}
{{- $context = merge (dict "appArmorProfile" (dict "type" "Unconfined")) $context }}
{{- end }}
{{- toYaml $context }}
{{- end }}

{{/* The same for older clusters, which have an annotation for it. */}}
{{- define "tetragon.appArmorAnnotation" -}}
{{- if and (not .Values.tetragon.securityContext.privileged) (semverCompare "<1.30-0" .Capabilities.KubeVersion.Version) }}
container.apparmor.security.beta.kubernetes.io/tetragon: unconfined
{{- end }}
{{- end }}

{{- define "tetragon.container" -}}
{{- $agent := .Values.tetragon -}}
- name: tetragon
  image: {{ include "tetragon.image" (dict "image" $agent.image "version" .Chart.AppVersion) | quote }}
  imagePullPolicy: {{ .Values.imagePullPolicy }}
  terminationMessagePolicy: FallbackToLogsOnError
  {{- with $agent.commandOverride }}
  command:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  args:
    - --config-dir=/etc/tetragon/tetragon.conf.d/
    {{- with $agent.argsOverride }}
    {{- toYaml . | nindent 4 }}
    {{- else }}
    {{- range $flag, $value := $agent.extraArgs }}
    - {{ ternary (printf "--%s" $flag) (printf "--%s=%v" $flag $value) (or (eq (toString $value) "") (kindIs "invalid" $value)) | quote }}
    {{- end }}
    {{- end }}
  env:
    - name: NODE_NAME
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
    - name: POD_NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
    - name: TETRAGON_CONFIG_DIGEST
      valueFrom:
        fieldRef:
          fieldPath: metadata.annotations['checksum/configmap']
    {{- with $agent.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or $agent.prometheus.enabled $agent.healthGrpc.enabled }}
  ports:
    {{- if $agent.prometheus.enabled }}
    - name: metrics
      containerPort: {{ $agent.prometheus.port }}
      protocol: TCP
    {{- end }}
    {{- if $agent.healthGrpc.enabled }}
    - name: health
      containerPort: {{ $agent.healthGrpc.port }}
      protocol: TCP
    {{- end }}
  {{- end }}
  {{- if $agent.livenessProbe }}
  livenessProbe:
    {{- toYaml $agent.livenessProbe | nindent 4 }}
  {{- else if $agent.healthGrpc.enabled }}
  livenessProbe:
    httpGet:
      path: /healthz
      port: health
    timeoutSeconds: 60
  {{- end }}
  {{- if $agent.healthGrpc.enabled }}
  # Health is served when the first policies are loaded, which takes the verifier's time on a slow node.
  startupProbe:
    httpGet:
      path: /healthz
      port: health
    periodSeconds: 2
    timeoutSeconds: 5
    failureThreshold: 150
  readinessProbe:
    httpGet:
      path: /readyz
      port: health
    periodSeconds: 5
    timeoutSeconds: 5
  {{- end }}
  securityContext:
    {{- include "tetragon.securityContext" . | nindent 4 }}
  {{- with $agent.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    {{- include "tetragon.mounts" . | nindent 4 }}
{{- end }}

{{- define "tetragon.mounts" -}}
- name: tetragon-config
  mountPath: /etc/tetragon/tetragon.conf.d/
  readOnly: true
{{- if .Values.tetragon.grpc.tls.enabled }}
- name: grpc-tls
  mountPath: /etc/tetragon/grpc-tls
  readOnly: true
{{- end }}
- name: bpf-maps
  mountPath: /sys/fs/bpf
  # Only a privileged container may hand a mount of its own to the node.
  mountPropagation: {{ ternary "Bidirectional" "HostToContainer" (.Values.tetragon.securityContext.privileged | default false) }}
- name: host-proc
  mountPath: /procRoot
  readOnly: true
- name: host-cgroups
  # At the usual place a container has its own cgroups only.
  mountPath: /cgroupRoot
  mountPropagation: HostToContainer
  readOnly: true
- name: tracing
  mountPath: /sys/kernel/tracing
  mountPropagation: HostToContainer
  readOnly: true
- name: security
  mountPath: /sys/kernel/security
  mountPropagation: HostToContainer
  readOnly: true
- name: tetragon-run
  mountPath: /var/run/tetragon
- name: tetragon-state
  mountPath: {{ .Values.tetragon.stateDirectory }}
- name: export-logs
  mountPath: {{ .Values.exportDirectory }}
{{- with include "tetragon.runtimeMounts" . | trim }}
{{ . }}
{{- end }}
{{- with include "tetragon.elasticsearchMounts" . | trim }}
{{ . }}
{{- end }}
{{- with .Values.tetragon.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- range .Values.extraHostPathMounts }}
- name: {{ .name }}
  mountPath: {{ .mountPath }}
  readOnly: {{ .readOnly | default false }}
  {{- with .mountPropagation }}
  mountPropagation: {{ . }}
  {{- end }}
{{- end }}
{{- range .Values.extraConfigmapMounts }}
- name: {{ .name }}
  mountPath: {{ .mountPath }}
  readOnly: {{ .readOnly | default false }}
{{- end }}
{{- with include "tetragon.volumemounts.extra" . | trim }}
{{ . }}
{{- end }}
{{- end }}

{{/* The folders of the container runtime's sockets: a socket alone would be the one that was there when the agent
started, which is nobody's when the runtime has started again. */}}
{{- define "tetragon.runtimeVolumes" -}}
{{- if .Values.rthooks.enabled }}
- name: nri
  hostPath:
    path: {{ dir .Values.rthooks.nriHook.nriSocket }}
    # The runtime may be switched to NRI later.
    type: DirectoryOrCreate
{{- end }}
{{- if .Values.tetragon.cri.enabled }}
- name: cri-socket
  hostPath:
    path: {{ dir .Values.tetragon.cri.socketHostPath }}
    type: Directory
{{- end }}
{{- end }}

{{- define "tetragon.runtimeMounts" -}}
{{- if .Values.rthooks.enabled }}
- name: nri
  mountPath: {{ dir .Values.rthooks.nriHook.nriSocket }}
{{- end }}
{{- if .Values.tetragon.cri.enabled }}
- name: cri-socket
  mountPath: {{ dir .Values.tetragon.cri.socketHostPath }}
{{- end }}
{{- end }}

{{/* Prints event files. The agent's image does it, unless another one is named. */}}
{{- define "tetragon.exportContainer" -}}
{{- $stdout := .Values.export.stdout }}
{{- $other := or $stdout.image.override $stdout.image.repository }}
{{- $image := ternary $stdout.image .Values.tetragon.image (not (empty $other)) -}}
- name: export-stdout
  image: {{ include "tetragon.image" (dict "image" $image "version" .Chart.AppVersion) | quote }}
  imagePullPolicy: {{ .Values.imagePullPolicy }}
  terminationMessagePolicy: FallbackToLogsOnError
  {{- if $stdout.enabledCommand }}
  command:
    {{- if $stdout.commandOverride }}
    {{- toYaml $stdout.commandOverride | nindent 4 }}
    {{- else if contains "hubble-export-stdout" ($other | default "") }}
    - hubble-export-stdout
    {{- else }}
    - /usr/bin/tetra
    - tail
    - --resume
    {{- end }}
  {{- end }}
  {{- if $stdout.enabledArgs }}
  args:
    {{- with $stdout.argsOverride }}
    {{- toYaml . | nindent 4 }}
    {{- else }}
    {{- range .Values.export.filenames | default (list .Values.tetragon.exportFilename) }}
    - {{ printf "%s/%s" $.Values.exportDirectory . | quote }}
    {{- end }}
    {{- end }}
  {{- end }}
  {{- with $stdout.extraEnv }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $sources := $stdout.extraEnvFrom }}
  {{- range $stdout.envFromSecrets }}
  {{- $sources = append $sources (dict "secretRef" (ternary . (dict "name" .) (kindIs "map" .))) }}
  {{- end }}
  {{- with $sources }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.export.securityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.export.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: export-logs
      mountPath: {{ .Values.exportDirectory }}
    {{- with $stdout.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
