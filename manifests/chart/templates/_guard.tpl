{{/* Texts as CEL has them in a list: 'a', 'b'. */}}
{{- define "portcullis.celTexts" -}}
{{- $texts := list -}}
{{- range . -}}
{{- $texts = append $texts (printf "'%s'" (printf "%q" . | trimPrefix "\"" | trimSuffix "\"" | replace "\\\"" "\"" | replace "'" "\\'")) -}}
{{- end -}}
{{- join ", " $texts -}}
{{- end -}}

{{/* Fails on a group that everybody is in. */}}
{{- define "portcullis.checkTrusted" -}}
{{- range .Values.tenantGuard.trustedGroups -}}
{{- if has . (list "system:authenticated" "system:unauthenticated" "system:serviceaccounts") -}}
{{- fail (printf "tenantGuard.trustedGroups has %s, which is no group of people who are trusted: name a smaller one" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
