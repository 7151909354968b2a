{{/* Flags that extraArgs must not have, and what to do instead: the last one of two would count. */}}
{{- define "portcullis.ownFlags" -}}
address: leave it out, ports and probes go by it
audit-address: set auditPage
cert-dir: set certificates.mode
certificate-lifetime: set certificates.lifetime
cloudevents-source: set cloudEvents.source
cloudevents-url: set cloudEvents.url
denied: leave it out, it is in the release's namespace
dns-names: leave it out, it is the Service in the release's namespace
exception-namespaces: set exceptionNamespaces
guard-registration: leave it out, it is in the release's namespace
health-address: leave it out, ports and probes go by it
heartbeat-lease: leave it out, it is in the release's namespace
lease: leave it out, it is in the release's namespace
log-format: set log.format
log-level: set log.level
metrics-address: leave it out, ports and Services go by it
preset: set preset
pull-secrets: set pullSecrets
registries: set registries
secret: leave it out, it is in the release's namespace
self-signed: set certificates.mode
{{- end -}}

{{/* Fails on what is no flag, or one of the chart's own. The schema knows how a flag is written. */}}
{{- define "portcullis.checkArgs" -}}
{{- $own := include "portcullis.ownFlags" . | fromYaml -}}
{{- $known := .Files.Lines "files/serve-flags.txt" -}}
{{- range .Values.extraArgs -}}
{{- $flag := regexFind "^--[a-z0-9-]+" . | trimPrefix "--" -}}
{{- if not (has $flag $known) -}}
{{- fail (printf "extraArgs has --%s, which is no flag of portcullis serve; docs/cli.md lists them" $flag) -}}
{{- end -}}
{{- with get $own $flag -}}
{{- fail (printf "extraArgs has --%s, which is the chart's to set: %s" $flag .) -}}
{{- end -}}
{{- end -}}
{{- if hasKey (.Values.podLabels | default dict) "app.kubernetes.io/name" -}}
{{- fail "podLabels has app.kubernetes.io/name, by which the chart's Services find its pods: leave it out" -}}
{{- end -}}
{{- end -}}
