{{/* Fails where the network policy would keep events in. The schema knows what an address is. */}}
{{- define "portcullis.checkSink" -}}
{{- if and .Values.networkPolicy (.Values.cloudEvents).url (not (.Values.cloudEvents.egress).ports) -}}
{{- $url := urlParse .Values.cloudEvents.url -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- if not (has $port (list "443" "6443")) -}}
{{- fail (printf "networkPolicy lets nothing out to port %s of cloudEvents.url: write it into cloudEvents.egress.ports, with the port of the pods behind it if that is another" $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
