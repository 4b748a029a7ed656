"""Objects as platform teams have them: every kind that is steered, with much on it that is none of our business."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from shadowproxy.testing.crds import CrdChecks

_CRDS = (Path(__file__).resolve().parents[2] / "../shared/crds").resolve()

#: Refuses what the real definitions refuse; nothing where they are not there.
CHECKS = CrdChecks(_CRDS)
HAS_CRDS = _CRDS.is_dir()

#: A route with over forty fields that are not weights.
VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: chat
  namespace: llm
  labels: {team: inference, app.kubernetes.io/part-of: chat}
  annotations: {owner: platform@example.com, docs/runbook: https://runbooks.example.com/chat}
spec:
  hosts: [chat.example.com, chat]
  gateways: [istio-system/public, mesh]
  exportTo: ["."]
  http:
    - name: health
      match: [{uri: {exact: /healthz}, port: 8080}]
      route: [{destination: {host: chat-v1}}]
      timeout: 2s
    - name: completions
      match:
        - uri: {prefix: /v1/}
          headers: {x-tenant: {regex: "[a-z]+"}}
          method: {exact: POST}
          sourceLabels: {app: web}
          queryParams: {beta: {exact: "1"}}
          ignoreUriCase: true
          withoutHeaders: {x-debug: {exact: "1"}}
          authority: {prefix: chat}
          scheme: {exact: https}
          statPrefix: chat
      rewrite: {uri: /openai/v1/, authority: chat.internal}
      retries: {attempts: 3, perTryTimeout: 20s, retryOn: "connect-failure,refused-stream,503", retryRemoteLocalities: true}
      timeout: 0s
      fault: {delay: {percentage: {value: 0.1}, fixedDelay: 5s}, abort: {percentage: {value: 0}, httpStatus: 503}}
      mirror: {host: shadowproxy, port: {number: 8081}}
      mirrorPercentage: {value: 12.5}
      corsPolicy:
        allowOrigins: [{exact: https://app.example.com}]
        allowMethods: [POST]
        allowHeaders: [authorization]
        exposeHeaders: [x-request-id]
        maxAge: 24h
        allowCredentials: true
      headers:
        request: {set: {x-route: completions}, add: {x-hop: "1"}, remove: [x-secret]}
        response: {set: {x-served-by: mesh}, remove: [server]}
      route:
        - destination: {host: chat-v1, port: {number: 8000}}
          weight: 90
          headers: {response: {set: {x-version: v1}}}
        - destination: {host: chat-v2.llm.svc.cluster.local, port: {number: 8000}}
          weight: 0
          headers: {response: {set: {x-version: v2}}}
        - destination: {host: chat-batch}
          weight: 10
    - name: rest
      route: [{destination: {host: chat-v1}}]
"""

HTTP_ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: chat, namespace: llm}
spec:
  parentRefs: [{name: public, namespace: gateways, sectionName: https}]
  hostnames: [chat.example.com]
  rules:
    - matches: [{path: {type: PathPrefix, value: /v1}}]
      filters:
        - type: RequestMirror
          requestMirror: {backendRef: {name: shadowproxy, port: 8081}, percent: 10}
        - type: RequestHeaderModifier
          requestHeaderModifier: {set: [{name: x-route, value: chat}]}
      timeouts: {request: 600s, backendRequest: 300s}
      backendRefs:
        - {name: chat-v1, port: 8000}
        - {name: chat-v2, port: 8000, weight: 0}
    - matches: [{path: {type: PathPrefix, value: /metrics}}]
      backendRefs: [{name: chat-v1, port: 9090}]
"""

INFERENCE_SERVICE = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: chat
  namespace: llm
  annotations: {serving.kserve.io/deploymentMode: Serverless, autoscaling.knative.dev/target: "4"}
spec:
  predictor:
    canaryTrafficPercent: 0
    minReplicas: 1
    maxReplicas: 4
    timeout: 600
    logger: {mode: all, url: http://shadowproxy.llm.svc:8082}
    model:
      modelFormat: {name: huggingface}
      storageUri: s3://models/chat-v2
      resources: {limits: {nvidia.com/gpu: "1"}}
status:
  components:
    predictor:
      latestCreatedRevision: chat-predictor-00002
      latestReadyRevision: chat-predictor-00002
      latestRolledoutRevision: chat-predictor-00001
      previousRolledoutRevision: chat-predictor-00001
"""

LLM_INFERENCE_SERVICE = """
apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceService
metadata: {name: NAME, namespace: llm, labels: {team: inference}}
spec:
  model: {name: chat, uri: hf://org/NAME}
  replicas: 2
  router:
    gateway: {}
    route: {group: chat, weight: WEIGHT}
    scheduler: {}
"""

KNATIVE_SERVICE = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: chat, namespace: llm, annotations: {serving.knative.dev/creator: alice}}
spec:
  template:
    spec:
      timeoutSeconds: 600
      containers: [{image: registry.example.com/chat:v2, ports: [{containerPort: 8000}]}]
  traffic:
    - {revisionName: chat-00001, tag: stable, percent: 100}
    - {latestRevision: true, tag: candidate}
status: {latestCreatedRevisionName: chat-00002, latestReadyRevisionName: chat-00002}
"""


def read(text: str) -> dict[str, Any]:
    """The object that a text describes."""
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def llm_service(name: str, weight: int) -> dict[str, Any]:
    return read(LLM_INFERENCE_SERVICE.replace("NAME", name).replace("WEIGHT", str(weight)))
