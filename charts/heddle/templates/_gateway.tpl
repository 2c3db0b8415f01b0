{{/* ServiceAccount, Service, Deployment and PodDisruptionBudget of a gateway for Gateway objects of Istio's API: .root and .gateway, its values */}}
{{- define "heddle.gateway" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .gateway.name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "heddle.labels" .root | nindent 4 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .gateway.name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "heddle.labels" .root | nindent 4 }}
    app: {{ .gateway.name }}
    {{- toYaml .gateway.labels | nindent 4 }}
  {{- with .gateway.service.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .gateway.service.type }}
  {{- with .root.Values.ipFamilyPolicy }}
  ipFamilyPolicy: {{ . }}
  {{- end }}
  selector:
    app: {{ .gateway.name }}
    {{- toYaml .gateway.labels | nindent 4 }}
  ports: {{- toYaml .gateway.service.ports | nindent 4 }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .gateway.name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "heddle.labels" .root | nindent 4 }}
    app: {{ .gateway.name }}
    {{- toYaml .gateway.labels | nindent 4 }}
spec:
  replicas: {{ .gateway.replicas }}
  selector:
    matchLabels:
      app: {{ .gateway.name }}
      {{- toYaml .gateway.labels | nindent 6 }}
  strategy:
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  template:
    metadata:
      labels: {{- include "heddle.labels" .root | nindent 8 }}
        app: {{ .gateway.name }}
        {{- toYaml .gateway.labels | nindent 8 }}
        # The webhook puts the proxy's image and arguments in.
        sidecar.istio.io/inject: "true"
        {{- if ne .root.Values.revision "default" }}
        istio.io/rev: {{ .root.Values.revision }}
        {{- end }}
      annotations:
        inject.istio.io/templates: gateway
    spec:
      serviceAccountName: {{ .gateway.name }}
      securityContext:
        seccompProfile: {type: RuntimeDefault}
      containers:
      - name: istio-proxy
        image: auto
        securityContext: {{- include "heddle.container" .root | nindent 10 }}
          runAsUser: 1337
          runAsGroup: 1337
        resources: {{- toYaml .gateway.resources | nindent 10 }}
      {{- with .gateway.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .gateway.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .gateway.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
{{- if gt (int .gateway.replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .gateway.name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "heddle.labels" .root | nindent 4 }}
spec:
  minAvailable: 1
  selector:
    matchLabels:
      app: {{ .gateway.name }}
      {{- toYaml .gateway.labels | nindent 6 }}
{{- end }}
{{- end }}
