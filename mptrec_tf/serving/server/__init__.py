"""A small server that speaks TF Serving's protocols, for development and tests.

    request_error    why a request is rejected: a status code and a sentence
    signature        inputs and outputs of a model's signatures
    tensors          TensorProtos to checked arrays, and back
    json_tensors     the same for TF Serving's JSON
    servable         one version of a model, loaded
    models           which versions are served: polling, hot swap, labels
    model_config     what to serve, from flags or a model_config_file
    session_config   TensorFlow's session, from flags and a file
    rebuilt_protos   messages of files that tensorflow-serving-api leaves out
    batching         merges waiting requests into one run, as batching_parameters configure it
    predicting       from decoded inputs to a response, for both protocols
    listening        opens ports before models are loaded
    tls              TLS of the gRPC side
    grpc_service     the gRPC side
    rest_service     the REST side
    measuring        Prometheus metrics
    monitoring_config  their path
    process          the whole server, from start to a graceful end

Everything but loading and running a model happens on one event loop, so that no state needs locks.
"""

__all__ = ["model_config", "process", "servable"]
