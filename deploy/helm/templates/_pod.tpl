{{- define "idp.name" -}}
{{ .Release.Name }}-{{ .component }}
{{- end }}

{{- define "idp.selector" -}}
app.kubernetes.io/name: scolarite-services
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "idp.labels" -}}
{{ include "idp.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "idp.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* What all pods have in common: no rights, no token of the cluster, a read-only root file system. */}}
{{- define "idp.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 1Gi}
  # Where the processes write their metrics: in memory.
  - name: metrics
    emptyDir: {medium: Memory, sizeLimit: 64Mi}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* What all containers have in common. The settings are variables of the container, not a ConfigMap: the hook of the migrations runs before
other objects exist, and a changed setting restarts the pods. */}}
{{- define "idp.container" -}}
image: {{ include "idp.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  - {name: PROMETHEUS_MULTIPROC_DIR, value: /run/metrics}
  {{- range $name, $value := .Values.settings }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
envFrom:
  - secretRef: {name: {{ required "secret: the name of the Secret with IDP_SECRET_KEY and the others" .Values.secret }}}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: metrics, mountPath: /run/metrics}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The port of a component's metrics, or 0. */}}
{{- define "idp.metrics" -}}
{{- $bind := .Values.settings.IDP_METRICS_BIND | default "" -}}
{{- if and $bind (hasKey (dict "provider" 0 "worker" 1 "desk" 2) .component) -}}
{{- add (last (splitList ":" $bind) | int) (get (dict "provider" 0 "worker" 1 "desk" 2) .component) -}}
{{- else -}}
0
{{- end -}}
{{- end }}

{{/* Pods of one component are on different nodes if there are enough. */}}
{{- define "idp.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "idp.selector" . | nindent 8 }}
{{- end }}

{{/* A Deployment that serves pages, its Service and its PodDisruptionBudget. */}}
{{- define "idp.pages" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "idp.name" . }}
  labels: {{ include "idp.labels" . | nindent 4 }}
spec:
  {{- if not .scaled }}
  replicas: {{ .of.replicas }}
  {{- end }}
  strategy:
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  selector:
    matchLabels: {{ include "idp.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{ include "idp.labels" . | nindent 8 }}
    spec:
      {{- include "idp.pod" . | nindent 6 }}
      {{- include "idp.spread" . | nindent 6 }}
      terminationGracePeriodSeconds: 40
      containers:
        - name: {{ .component }}
          {{- include "idp.container" . | nindent 10 }}
          args: {{ .args | toJson }}
          ports:
            - {name: http, containerPort: {{ .port }}}
            {{- with include "idp.metrics" . | int }}
            - {name: metrics, containerPort: {{ . }}}
            {{- end }}
          # The pod is taken out of the Service while it still answers.
          lifecycle:
            preStop: {sleep: {seconds: 5}}
          startupProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 2
            failureThreshold: 30
          livenessProbe:
            httpGet: {path: /healthz, port: http}
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 10
            timeoutSeconds: 10
          resources: {{ toYaml .of.resources | nindent 12 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "idp.name" . }}
  labels: {{ include "idp.labels" . | nindent 4 }}
spec:
  selector: {{ include "idp.selector" . | nindent 4 }}
  ports:
    - {name: http, port: 80, targetPort: http}
---
{{ include "idp.budget" . }}
{{- end }}

{{- define "idp.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "idp.name" . }}
  labels: {{ include "idp.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{ include "idp.selector" . | nindent 6 }}
{{- end }}
