{{/* export.elasticsearch: the agent's flags, and the files that they name. */}}

{{- define "tetragon.elasticsearchFlags" -}}
{{- $elastic := .Values.export.elasticsearch }}
{{- if $elastic.enabled }}
export-elasticsearch-url: {{ $elastic.url | quote }}
export-elasticsearch-index: {{ $elastic.index | quote }}
{{- if $elastic.existingSecret }}
{{- range $flag, $key := dict "username" $elastic.secretKeys.username "password" $elastic.secretKeys.password "api-key" $elastic.secretKeys.apiKey }}
{{- if $key }}
export-elasticsearch-{{ $flag }}-file: /etc/tetragon/elasticsearch/{{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- if $elastic.caSecret }}
export-elasticsearch-ca-file: /etc/tetragon/elasticsearch-ca/{{ $elastic.caSecretKey }}
{{- end }}
export-elasticsearch-insecure-skip-verify: {{ $elastic.insecureSkipVerify | quote }}
export-elasticsearch-batch-size: {{ $elastic.batchSize | int64 | quote }}
export-elasticsearch-batch-bytes: {{ $elastic.batchBytes | toString | quote }}
export-elasticsearch-flush-interval: {{ $elastic.flushInterval | quote }}
export-elasticsearch-spool-dir: {{ printf "%s/spool" .Values.tetragon.stateDirectory | quote }}
export-elasticsearch-spool-size: {{ $elastic.spoolSize | toString | quote }}
{{- end }}
{{- end }}

{{- define "tetragon.elasticsearchMounts" -}}
{{- $elastic := .Values.export.elasticsearch }}
{{- if and $elastic.enabled $elastic.existingSecret }}
- name: elasticsearch
  mountPath: /etc/tetragon/elasticsearch
  readOnly: true
{{- end }}
{{- if and $elastic.enabled $elastic.caSecret }}
- name: elasticsearch-ca
  mountPath: /etc/tetragon/elasticsearch-ca
  readOnly: true
{{- end }}
{{- end }}

{{- define "tetragon.elasticsearchVolumes" -}}
{{- $elastic := .Values.export.elasticsearch }}
{{- if and $elastic.enabled $elastic.existingSecret }}
- name: elasticsearch
  secret:
    secretName: {{ $elastic.existingSecret }}
    defaultMode: 256 # 0400
{{- end }}
{{- if and $elastic.enabled $elastic.caSecret }}
- name: elasticsearch-ca
  secret:
    secretName: {{ $elastic.caSecret }}
    defaultMode: 292 # 0444
{{- end }}
{{- end }}
