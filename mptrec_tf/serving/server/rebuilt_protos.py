"""Builds the messages of TF Serving's files that tensorflow-serving-api leaves out.

Field names are enough: text format does not use field numbers.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

# A field's type: a scalar's, one of `wrappers.proto`, or the fields of a message.
Fields = Mapping[str, "str | Fields"]

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"bool": _Field.TYPE_BOOL, "int64": _Field.TYPE_INT64, "string": _Field.TYPE_STRING}
_PACKAGE = "mptrec_tf.rebuilt"
_WRAPPERS = "google/protobuf/wrappers.proto"


def build_message(name: str, fields: Fields) -> Any:
    """Returns an empty message.

    Args:
      name: The name of its type.
      fields: Type by name: "bool", "int64", "string", one of `wrappers.proto` as "Int64Value", or
        the fields of a message; "repeated int64" for many.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto", package=_PACKAGE, syntax="proto3", dependency=[_WRAPPERS]
    )
    _add(file, name, fields)
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    if hasattr(message_factory, "GetMessageClass"):  # protobuf 4.22 and newer
        return message_factory.GetMessageClass(descriptor)()
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)()


def _add(file: descriptor_pb2.FileDescriptorProto, name: str, fields: Fields) -> None:
    message = file.message_type.add(name=name)
    for number, (field, kind) in enumerate(fields.items(), 1):
        added = message.field.add(name=field, number=number, label=_Field.LABEL_OPTIONAL)
        if not isinstance(kind, str):
            _add(file, f"{name}_{field}", kind)
            added.type, added.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{name}_{field}"
            continue
        if kind.startswith("repeated "):
            added.label, kind = _Field.LABEL_REPEATED, kind.removeprefix("repeated ")
        if kind in _SCALARS:
            added.type = _SCALARS[kind]
        else:
            added.type, added.type_name = _Field.TYPE_MESSAGE, f".google.protobuf.{kind}"
