"""A small server that speaks TF Serving's protocols, for development and tests.

    rejections         what a request is rejected with: a status code and a sentence
    tensors          TensorProtos to checked arrays, and back
    json_tensors     the same for TF Serving's JSON
    servable         one version of a model, loaded
    models           which versions are served: polling, hot swap, labels
    model_config     what to serve, from flags or a model_config_file
    session_config   TensorFlow's session, from flags and a file
    rebuilt_protos   messages of files that tensorflow-serving-api leaves out
    batching         merges what waits into one run, as batching_parameters say
    predicting       a request's way from decoded inputs to answers, whatever its protocol
    listening        ports that are taken before models are loaded
    tls              TLS of the gRPC side
    grpc_service     the gRPC side
    rest_service     the REST side
    measuring        Prometheus metrics
    monitoring_config  where they are
    process          all of it, from start to a graceful end

Everything but loading and running a model happens on one event loop; that is why no state in here
has locks.
"""
