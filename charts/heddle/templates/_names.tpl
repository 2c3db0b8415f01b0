{{/* heddled, or heddled-REVISION: the control plane's objects in its namespace */}}
{{- define "heddle.name" -}}
{{- if eq .Values.revision "default" }}heddled{{ else }}heddled-{{ .Values.revision }}{{ end }}
{{- end }}

{{/* the same for objects outside of namespaces */}}
{{- define "heddle.global" -}}
{{ include "heddle.name" . }}-{{ .Release.Namespace }}
{{- end }}

{{- define "heddle.image" -}}
{{ .root.Values.image.registry }}/{{ .name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "heddle.select" -}}
app: heddled
istio.io/rev: {{ .Values.revision }}
{{- end }}

{{- define "heddle.labels" -}}
app.kubernetes.io/name: heddle
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: heddle
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
{{- end }}

{{/* what every pod of Heddle's own may do: nothing but run */}}
{{- define "heddle.container" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
runAsNonRoot: true
{{- end }}
