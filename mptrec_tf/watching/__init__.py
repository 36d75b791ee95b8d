"""`mptrec-watch`: whether a model in production still fits what it is asked, from request logs."""
