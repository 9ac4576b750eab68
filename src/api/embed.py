#!/usr/bin/env python3
"""Writes a C file that holds files as they are, and openapi.yaml once more as JSON."""
import json
import sys

import yaml


def put(out, name, data):
    out.write(f"static const unsigned char {name}_bytes[] = {{\n")
    for at in range(0, len(data), 20):
        out.write("\t" + "".join(f"{byte}," for byte in data[at:at + 20]) + "\n")
    out.write("\t0\n};\n")
    out.write(f"const struct asset asset_{name} = {{ (const char *){name}_bytes, {len(data)} }};\n\n")


def main(target, *sources):
    with open(target, "w", encoding="ascii") as out:
        out.write('/* Made by embed.py */\n#include "api/asset.h"\n\n')
        for source in sources:
            name = source.replace("\\", "/").rsplit("/", 1)[1].replace(".", "_")
            with open(source, "rb") as file:
                data = file.read()
            put(out, name, data)
            if name == "openapi_yaml":
                text = json.dumps(yaml.safe_load(data), ensure_ascii=False, default=str)
                put(out, "openapi_json", text.encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
