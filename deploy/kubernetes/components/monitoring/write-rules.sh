#!/bin/sh
# Write the rules of Prometheus as an object of its operator: sh write-rules.sh > rules.yaml
# deploy/prometheus/rules.yml is the one truth; here alone the number of replicas that there are meant to be is what
# kube-state-metrics knows of the Deployment.
set -eu
rules=$(dirname "$0")/../../../prometheus
cat <<'HEAD'
# Written by write-rules.sh from deploy/prometheus/rules.yml: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: mmoe
  labels: {app.kubernetes.io/name: mmoe}
spec:
HEAD
sed -e 's/^./  &/' "$rules/rules.yml"
echo
sed -e '1,/^groups:/d' -e 's/^./  &/' -e 's/vector(2)/max(kube_deployment_spec_replicas{deployment="mmoe"}) or vector(2)/' "$rules/replicas.yml"
