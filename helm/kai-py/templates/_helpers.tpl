{{- define "kai-py.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* The name of most objects: that of the release, with the chart's name unless it is in it. At most 50 characters, as
others are made of it. */ -}}
{{- define "kai-py.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "kai-py.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "kai-py.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "kai-py.selector" -}}
app.kubernetes.io/name: {{ include "kai-py.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kai-py.labels" -}}
{{ include "kai-py.selector" . }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: kai-py
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "kai-py.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "kai-py.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "kai-py.settingsConfigMap" -}}
{{- default "kai-py-settings" .Values.settingsConfigMap.name }}
{{- end }}

{{- define "kai-py.lease" -}}
{{- default (include "kai-py.fullname" .) .Values.leaderElection.leaseName }}
{{- end }}

{{- define "kai-py.image" -}}
{{- $repository := .Values.image.repository }}
{{- if .Values.image.registry }}
{{- $repository = printf "%s/%s" .Values.image.registry $repository }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* What a pod of ours always has, whatever it runs: image, rights, and no way to write but for /tmp. */ -}}
{{- define "kai-py.container" -}}
image: {{ include "kai-py.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
{{- end }}

{{- define "kai-py.pod" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi
{{- end }}

{{- /* One document for the settings and for what has to be rendered with them. */ -}}
{{- define "kai-py.settings" -}}
{{- if .Values.settings }}{{ toYaml .Values.settings }}{{ end }}
{{- end }}

{{- define "kai-py.sharedGpus" -}}
{{- if or .Values.rbac.sharedGpus (include "kai-py.reservesGpus" .) (eq (dig "gpuSharing" "none" .Values.settings) "trusted") (has "trusted" (dig "gpuSharingChoices" list .Values.settings)) }}true{{ end }}
{{- end }}

{{- define "kai-py.reservesGpus" -}}
{{- if or (eq (dig "gpuSharing" "none" .Values.settings) "reservation") (has "reservation" (dig "gpuSharingChoices" list .Values.settings)) }}true{{ end }}
{{- end }}

{{- define "kai-py.claimsGpuShares" -}}
{{- if or .Values.rbac.gpuShareClaims (eq (dig "gpuSharing" "none" .Values.settings) "claims") (has "claims" (dig "gpuSharingChoices" list .Values.settings)) }}true{{ end }}
{{- end }}

{{- define "kai-py.reservationNamespace" -}}
{{- dig "gpuReservation" "namespace" "kai-resource-reservation" .Values.settings }}
{{- end }}

{{- define "kai-py.reservationAccount" -}}
{{- dig "gpuReservation" "serviceAccount" "kai-resource-reservation" .Values.settings }}
{{- end }}

{{- define "kai-py.accessReviews" -}}
{{- if or .Values.rbac.accessReviews .Values.decisions.expose (eq (dig "queues" "authorization" "namespaces" .Values.settings) "subjectAccessReview") }}true{{ end }}
{{- end }}

{{- define "kai-py.webhooks" -}}
{{- include "kai-py.fullname" . }}-webhooks
{{- end }}

{{- define "kai-py.webhooksAccount" -}}
{{- default (include "kai-py.webhooks" .) .Values.webhooks.serviceAccountName }}
{{- end }}
