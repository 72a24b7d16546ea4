{{- define "feishu-pulse.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Half of the memory limit of the container. Nothing without a limit, or with an unusual unit. */}}
{{- define "feishu-pulse.halfOfMemory" -}}
{{- $limit := dig "limits" "memory" "" .Values.resources | toString }}
{{- range $unit, $kibibytes := dict "Ki" 1 "Mi" 1024 "Gi" 1048576 }}
{{- if regexMatch (printf "^[0-9]+%s$" $unit) $limit }}
{{- printf "%dKiB" (div (mul (trimSuffix $unit $limit | int64) $kibibytes) 2) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Nine tenths of the volume of the disk cache, because a pod whose emptyDir is above its limit is evicted. */}}
{{- define "feishu-pulse.archiveCacheBytes" -}}
{{- $size := .Values.archiveCache.size }}
{{- range $unit, $kibibytes := dict "Mi" 1024 "Gi" 1048576 }}
{{- if hasSuffix $unit $size }}
{{- printf "%dKiB" (div (mul (trimSuffix $unit $size | int64) $kibibytes 9) 10) }}
{{- end }}
{{- end }}
{{- end }}

{{/* At most 55 characters, so that suffixes fit into a DNS label of 63. */}}
{{- define "feishu-pulse.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" }}
{{- else if contains (include "feishu-pulse.name" .) .Release.Name }}
{{- .Release.Name | trunc 55 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "feishu-pulse.name" .) | trunc 55 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* These labels must not change, because the selector of a Deployment is immutable. */}}
{{- define "feishu-pulse.selector" -}}
app.kubernetes.io/name: {{ include "feishu-pulse.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "feishu-pulse.meta" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "feishu-pulse.labels" -}}
{{ include "feishu-pulse.selector" . }}
{{ include "feishu-pulse.meta" . }}
{{- end }}

{{- define "feishu-pulse.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "feishu-pulse.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The name of the Secret with the credentials. Fails if neither an existing Secret nor credentials are given. */}}
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
{{- if not .Values.image.repository }}
{{- fail "set image.repository: there is no public image; build one from the Dockerfile and push it to your registry, such as registry.example.com/feishu-pulse" }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Not empty if there can be more than one pod. */}}
{{- define "feishu-pulse.several" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}yes{{ end }}
{{- end }}

{{/* Not empty if the pod is part of a fleet. */}}
{{- define "feishu-pulse.fleet" -}}
{{- if ne .Values.fleet.store "none" }}yes{{ end }}
{{- end }}

{{/* Not empty if an old and a new pod write into one folder during an update. Each pod then has a state folder of its own. */}}
{{- define "feishu-pulse.sharedVolume" -}}
{{- if and .Values.persistence.enabled (eq .Values.persistence.accessMode "ReadWriteMany") }}yes{{ end }}
{{- end }}

{{/* Rejects values that would install but then fail, or expose personal data. The message names all faults at once. */}}
{{- define "feishu-pulse.guard" -}}
{{- $faults := list }}
{{- $hasBucket := hasPrefix "s3://" .Values.settings.archive }}
{{- if include "feishu-pulse.several" . }}
{{- if not (include "feishu-pulse.fleet" .) }}
{{- $faults = append $faults "several replicas need fleet.store: set fleet.store=redis or fleet.store=archive, and archive into a bucket (settings.archive=s3://…); without it each replica would search and use Feishu's rate limit on its own" }}
{{- end }}
{{- if .Values.persistence.enabled }}
{{- $faults = append $faults "several replicas cannot share a volume: archive into a bucket (settings.archive=s3://…) and set persistence.enabled=false" }}
{{- end }}
{{- end }}
{{- if include "feishu-pulse.fleet" . }}
{{- if not $hasBucket }}
{{- $faults = append $faults (printf "fleet.store=%s needs an archive that all replicas can read: set settings.archive to a bucket (s3://…), or fleet.store=none for one replica" .Values.fleet.store) }}
{{- end }}
{{- if and (eq .Values.fleet.store "redis") (not .Values.fleet.redis.existingSecret) }}
{{- $faults = append $faults "fleet.store=redis needs fleet.redis.existingSecret: a Secret whose key fleet.redis.key holds the URL of the server (redis://…)" }}
{{- end }}
{{- if eq (int .Values.fleet.port) (int .Values.adminPort) }}
{{- $faults = append $faults "fleet.port and adminPort must differ" }}
{{- end }}
{{- end }}
{{- if and .Values.fleet.tls.existingSecret (not (include "feishu-pulse.fleet" .)) }}
{{- $faults = append $faults "fleet.tls.existingSecret needs fleet.store: it is the certificate between replicas; tls.existingSecret is that of the API" }}
{{- end }}
{{- if and .Values.archiveCache.enabled (not $hasBucket) }}
{{- $faults = append $faults "archiveCache.enabled needs an archive in a bucket (settings.archive=s3://…)" }}
{{- end }}
{{- if not (or .Values.settings.allowAnonymous .Values.access.apiKeys.existingSecret .Values.access.oidc.issuer) }}
{{- $faults = append $faults "no caller has access: set access.apiKeys.existingSecret or access.oidc.issuer, or settings.allowAnonymous=true if everyone who can reach the pods may read what every employee did" }}
{{- end }}
{{- if ne (empty .Values.access.oidc.issuer) (empty .Values.access.oidc.audience) }}
{{- $faults = append $faults "access.oidc.issuer and access.oidc.audience belong together" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- $faults = append $faults "httpRoute.enabled needs httpRoute.parentRefs: the Gateways that it is attached to" }}
{{- end }}
{{- if $faults }}
{{- fail (join "\n" $faults) }}
{{- end }}
{{- end }}

{{/* The name label of the pod of `helm test`, which differs from the gateway's so that the Service does not select it. */}}
{{- define "feishu-pulse.testSelector" -}}
app.kubernetes.io/name: {{ include "feishu-pulse.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* A Service for Prometheus, because the Service of the API does not include adminPort. */}}
{{- define "feishu-pulse.metricsSelector" -}}
{{ include "feishu-pulse.selector" . }}
app.kubernetes.io/component: metrics
{{- end }}
