{{- define "feishu-pulse.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "feishu-pulse.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "feishu-pulse.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "feishu-pulse.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Never changes over the life of a release: a Deployment's selector is immutable. */}}
{{- define "feishu-pulse.selector" -}}
app.kubernetes.io/name: {{ include "feishu-pulse.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "feishu-pulse.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "feishu-pulse.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "feishu-pulse.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "feishu-pulse.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The Secret with the credentials; says what is missing where neither kind is given. */}}
{{- define "feishu-pulse.secret" -}}
{{- if .Values.feishu.existingSecret }}
{{- .Values.feishu.existingSecret }}
{{- else if and .Values.feishu.appId .Values.feishu.appSecret }}
{{- include "feishu-pulse.fullname" . }}
{{- else }}
{{- fail "set feishu.existingSecret (a Secret with the keys app-id and app-secret), or both feishu.appId and feishu.appSecret" }}
{{- end }}
{{- end }}

{{- define "feishu-pulse.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}
