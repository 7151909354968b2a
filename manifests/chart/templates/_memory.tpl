{{/* An amount such as 256Mi, 2Gi or 224MiB, in MiB. The schema knows what an amount is. */}}
{{- define "portcullis.mebibytes" -}}
{{ mul (regexFind "^[0-9]+" .) (ternary 1024 1 (contains "G" .)) }}
{{- end -}}

{{/* Fails where amounts do not fit together, which a schema cannot say. */}}
{{- define "portcullis.checkMemory" -}}
{{- $limit := include "portcullis.mebibytes" .limit | int -}}
{{- if gt (include "portcullis.mebibytes" .soft | int) $limit -}}
{{- fail (printf "memory.soft is %s and memory.limit %s: the kernel would end Portcullis before the collector works harder. Write at most seven eighths of the limit, %dMiB" .soft .limit (div (mul $limit 7) 8)) -}}
{{- end -}}
{{- if gt (include "portcullis.mebibytes" .request | int) $limit -}}
{{- fail (printf "memory.request is %s and memory.limit %s: no pod may request more than its limit. Raise the limit or lower the request" .request .limit) -}}
{{- end -}}
{{- end -}}
