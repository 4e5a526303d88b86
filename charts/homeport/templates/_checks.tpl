{{/*
Values that cannot work together: refused before anything is sent to the cluster, all at once, each with the value and
what mends it. What a single value may be, values.schema.json says.
*/}}
{{- define "homeport.checks" -}}
{{- $v := .Values -}}
{{- $d := $v.database -}}
{{- $a := $v.artifacts -}}
{{- $p := $v.serving.predictions -}}
{{- $kind := include "homeport.artifacts.kind" . -}}
{{- $wrong := list -}}

{{- if and $d.existingSecret (not $d.url) (not $d.urlKey) -}}
{{- $wrong = append $wrong "database.existingSecret holds a password, but of which database? Set database.url=postgresql://user@host:5432/name, or database.urlKey to the key of that Secret with the whole URL." -}}
{{- end -}}
{{- if and $d.urlKey (not $d.existingSecret) -}}
{{- $wrong = append $wrong "database.urlKey names a key of a Secret that is not named. Set database.existingSecret." -}}
{{- end -}}
{{- if and $d.url $d.urlKey -}}
{{- $wrong = append $wrong "database.url and database.urlKey both say where the database is. Leave one of them empty." -}}
{{- end -}}
{{- if and $d.url $d.existingSecret (not (regexMatch "^[a-z0-9+]+://[^:@/]+(:[^@/]*)?@" $d.url)) -}}
{{- $wrong = append $wrong "database.url names no user, so the password in database.existingSecret has no place. Write it as postgresql://user@host:5432/name." -}}
{{- end -}}
{{- if and $d.ca.existingSecret $d.ca.existingConfigMap -}}
{{- $wrong = append $wrong "database.ca.existingSecret and database.ca.existingConfigMap are both set. Leave one of them empty." -}}
{{- end -}}

{{- if and $a.existingSecret (ne $kind "s3") -}}
{{- $wrong = append $wrong (printf "artifacts.existingSecret holds keys of S3, but artifacts.destination is %s. Use artifacts.google.existingSecret or artifacts.azure.existingSecret, or leave it empty for workload identity." $a.destination) -}}
{{- end -}}
{{- if and $a.existingSecret (eq (include "homeport.objectstore.own" .) "true") -}}
{{- $wrong = append $wrong "artifacts.existingSecret holds keys of a store, but of which? Set artifacts.destination=s3://bucket and, where it is not Amazon's, artifacts.endpoint." -}}
{{- end -}}
{{- if and $a.google.existingSecret (ne $kind "google") -}}
{{- $wrong = append $wrong "artifacts.google.existingSecret is for a destination gs://bucket. Set artifacts.destination, or leave the Secret out." -}}
{{- end -}}
{{- if and $a.azure.existingSecret (ne $kind "azure") -}}
{{- $wrong = append $wrong "artifacts.azure.existingSecret is for a destination wasbs://container@account.blob.core.windows.net/path. Set artifacts.destination, or leave the Secret out." -}}
{{- end -}}
{{- if and $a.endpoint (ne $kind "s3") -}}
{{- $wrong = append $wrong (printf "artifacts.endpoint is the address of an S3 API, but artifacts.destination is %s. Leave artifacts.endpoint empty." $a.destination) -}}
{{- end -}}

{{- if and $p.fraction (not $p.existingSecret) -}}
{{- $wrong = append $wrong "serving.predictions.fraction keeps predictions, but not where. Set serving.predictions.existingSecret to a Secret with the URL of a PostgreSQL of their own, under the key serving.predictions.urlKey." -}}
{{- end -}}

{{- if and $v.gatewayApi.enabled (not $v.domain) -}}
{{- $wrong = append $wrong "gatewayApi.enabled makes HTTPRoutes for mlflow.DOMAIN and models.DOMAIN. Set domain." -}}
{{- end -}}
{{- if and $v.gatewayApi.enabled (not $v.gatewayApi.parentRefs) -}}
{{- $wrong = append $wrong "gatewayApi.enabled makes HTTPRoutes for no Gateway. Set gatewayApi.parentRefs=[{name: NAME, namespace: NAMESPACE}]." -}}
{{- end -}}
{{- if and $v.ingress.tls.clusterIssuer $v.ingress.tls.issuer -}}
{{- $wrong = append $wrong "ingress.tls.clusterIssuer and ingress.tls.issuer are both set. Leave one of them empty." -}}
{{- end -}}

{{- if and $v.training.image.repository (not $v.training.image.tag) (not $v.training.image.digest) -}}
{{- $wrong = append $wrong "training.image.repository has neither a tag nor a digest. Set training.image.tag or training.image.digest." -}}
{{- end -}}

{{- $queue := false -}}
{{- range $v.tracking.extraEnv -}}
{{- if eq .name "MLFLOW_SERVER_JOB_HUEY_REDIS_URL" -}}{{- $queue = true -}}{{- end -}}
{{- end -}}
{{- $several := or $v.tracking.autoscaling.enabled (gt (int64 (default 1 $v.tracking.replicas)) 1) -}}
{{- if and $v.tracking.jobs $several (not $queue) -}}
{{- $wrong = append $wrong "tracking.jobs keeps its queue in files of one replica, and there are several. Name a Redis in tracking.extraEnv: MLFLOW_SERVER_JOB_HUEY_REDIS_URL, or run one replica without autoscaling." -}}
{{- end -}}

{{- range $component := list "tracking" "serving" -}}
{{- $c := get $v $component -}}
{{- if and $c.autoscaling.enabled (gt (int64 $c.autoscaling.minReplicas) (int64 $c.autoscaling.maxReplicas)) -}}
{{- $wrong = append $wrong (printf "%s.autoscaling.minReplicas is %d, and maxReplicas is %d. Raise maxReplicas." $component (int64 $c.autoscaling.minReplicas) (int64 $c.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and $c.autoscaling.enabled (not $c.autoscaling.targetCPUUtilizationPercentage) (not $c.autoscaling.metrics) -}}
{{- $wrong = append $wrong (printf "%s.autoscaling has nothing to go by. Set targetCPUUtilizationPercentage or metrics." $component) -}}
{{- end -}}
{{- if le (int64 $c.terminationGracePeriodSeconds) (int64 $c.drainSeconds) -}}
{{- $wrong = append $wrong (printf "%s.terminationGracePeriodSeconds is used up by drainSeconds: requests would be cut. Make it at least %d." $component (add 15 (int64 $c.drainSeconds))) -}}
{{- end -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "\n\nThese values do not work together:\n\n- %s\n" (join "\n- " $wrong)) -}}
{{- end -}}
{{- end }}
