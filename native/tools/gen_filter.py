"""Compile xdp_filter.bpf.c into xdp_filter_insns.h, the committed instruction array.

    gen_filter.py           write the header
    gen_filter.py --check   recompile and compare, if clang is the recorded version

Only those who change the filter need this, clang and llvm-objdump (Debian: apt-get
install clang llvm).  The header has numbers for the loader, disassembly for the reader.
"""

# ruff: noqa: INP001  a script, not a package
# ruff: noqa: S603    it starts the compilers that it names

from __future__ import annotations

import argparse
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src" / "datapath" / "xdp_filter.bpf.c"
HEADER = HERE.parent / "src" / "datapath" / "xdp_filter_insns.h"
# v3 has 32-bit jumps and arithmetic (Linux 5.1); the filter's helpers need 5.18 anyway.
CFLAGS = ["-target", "bpfel", "-mcpu=v3", "-O2", "-ffreestanding", "-Wall", "-Wextra"]
CFLAGS += ["-Werror"]

MAPS = {
    "map_config": "XDP_FILTER_CONFIG",
    "map_ports": "XDP_FILTER_PORTS",
    "map_xsks": "XDP_FILTER_XSKS",
}

INSN_BYTES = 8
LD_IMM64 = 0x18
ADD_REG64 = 0x0F
SUB_REG64 = 0x1F
SECTION_TYPE_SYMTAB = 2
R_BPF_64_64 = 1


class GenerateError(Exception):
    """What went wrong, for the person at the terminal."""


class Section(NamedTuple):
    """One section header of an ELF file, as far as we need it, and its bytes."""

    name: str
    kind: int
    link: int
    data: bytes


class Relocation(NamedTuple):
    """The instruction whose constant becomes the descriptor of a map."""

    insn: int
    symbol: str


def text_at(table: bytes, offset: int) -> str:
    """Return the NUL-terminated string at *offset* of a string table."""
    return table[offset : table.index(b"\0", offset)].decode()


def read_sections(elf: bytes) -> list[Section]:
    """Return the sections of a little-endian 64-bit ELF object."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise GenerateError("clang did not write a little-endian 64-bit ELF object")
    (table_off,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", elf, 0x3A)
    rows = [
        struct.unpack_from("<IIQQQQIIQQ", elf, table_off + i * size) for i in range(count)
    ]
    names = rows[names_index]
    name_table = elf[names[4] : names[4] + names[5]]
    return [
        Section(
            text_at(name_table, row[0]), row[1], row[6], elf[row[4] : row[4] + row[5]]
        )
        for row in rows
    ]


def read_program(elf: bytes) -> tuple[bytes, list[Relocation]]:
    """Return the code of section "xdp" and where it names maps."""
    sections = read_sections(elf)
    code = next(s.data for s in sections if s.name == "xdp")
    symtab = next(s for s in sections if s.kind == SECTION_TYPE_SYMTAB)
    names = sections[symtab.link].data
    relocations = []
    for s in sections:
        if s.name != ".relxdp":
            continue
        for off_bytes, info in struct.iter_unpack("<QQ", s.data):
            if info & 0xFFFFFFFF != R_BPF_64_64:
                raise GenerateError(
                    f"relocation type {info & 0xFFFFFFFF} is not for a map"
                )
            (name_off,) = struct.unpack_from("<I", symtab.data, (info >> 32) * 24)
            relocations.append(
                Relocation(off_bytes // INSN_BYTES, text_at(names, name_off))
            )
    return code, sorted(relocations)


def check_program(code: bytes, relocations: list[Relocation]) -> None:
    """Raise if the loader or an unprivileged verifier could not take the code."""
    for index in range(0, len(code), INSN_BYTES):
        if code[index] in {ADD_REG64, SUB_REG64}:
            raise GenerateError(
                f"instruction {index // INSN_BYTES} adds a register to a pointer: "
                f"without CAP_PERFMON the verifier refuses that; use constant offsets"
            )
    for insn, symbol in relocations:
        if symbol not in MAPS or code[insn * INSN_BYTES] != LD_IMM64:
            raise GenerateError(f"instruction {insn} wants {symbol}, which is no map")


def disassemble(tool: str, obj: Path) -> dict[int, str]:
    """Return the text of each instruction by its index."""
    run = subprocess.run(
        [tool, "-d", "--no-show-raw-insn", str(obj)],
        check=True,
        capture_output=True,
        text=True,
    )
    rows = re.findall(r"^\s+(\d+):\s+(.+)$", run.stdout, re.MULTILINE)
    return {int(index): re.sub(r"\s*<.*>", "", text).strip() for index, text in rows}


def compile_filter(clang: str, objdump: str) -> str:
    """Return the whole text of the header."""
    with tempfile.TemporaryDirectory() as folder:
        obj = Path(folder) / "xdp_filter.o"
        subprocess.run(
            [clang, *CFLAGS, "-c", "-o", str(obj), str(SOURCE)],
            check=True,
        )
        code, relocations = read_program(obj.read_bytes())
        texts = disassemble(objdump, obj)
    check_program(code, relocations)
    lines = [
        "/* xdp_filter_insns.h: the XDP filter as the kernel takes it.",
        " *",
        " * Made from xdp_filter.bpf.c by `make -C native filter`; never edited by hand.",
        f" * Compiler: {clang_version(clang)} */",
        "#ifndef QX_XDP_FILTER_INSNS_H",
        "#define QX_XDP_FILTER_INSNS_H",
        "",
        "#include <linux/bpf.h>",
        "",
        '#include "xdp_filter.h"',
        "",
        "/* clang-format off */",
        "/* {code, dst_reg, src_reg, off, imm} */",
        "static const struct bpf_insn xdp_filter_insns[] = {",
    ]
    for index, (op, regs, off, imm) in enumerate(struct.iter_unpack("<BBhi", code)):
        insn = f"{{0x{op:02x}, {regs & 15}, {regs >> 4}, {off}, {imm}}},"
        text = texts.get(index, "")
        lines.append(f"\t{insn:<30}/* {index:3}: {text} */" if text else f"\t{insn}")
    lines += [
        "};",
        "",
        "/* Instructions whose constant the loader replaces by a map's descriptor. */",
        "static const struct {",
        "\tuint16_t insn;",
        "\tuint16_t map;          /* enum xdp_filter_map */",
        "} xdp_filter_relocs[] = {",
        *(f"\t{{{insn}, {MAPS[symbol]}}}," for insn, symbol in relocations),
        "};",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def clang_version(clang: str) -> str:
    """Return the first line of `clang --version`."""
    run = subprocess.run([clang, "--version"], check=True, capture_output=True, text=True)
    return run.stdout.splitlines()[0].strip()


def find_tool(variable: str, name: str) -> str:
    """Return the path of a tool, which an environment variable may name."""
    wanted = os.environ.get(variable, name)
    path = shutil.which(wanted)
    if path is None:
        raise GenerateError(
            f"{wanted} is not installed (Debian: apt-get install clang llvm), "
            f"or set {variable} to where it is"
        )
    return path


def check(clang: str, objdump: str) -> str:
    """Compare the header with a fresh compilation; return what can be said about it."""
    committed = HEADER.read_text(encoding="utf-8")
    recorded = re.search(r"^ \* Compiler: (.*) \*/$", committed, re.MULTILINE)
    version = clang_version(clang)
    if recorded is None or recorded[1] != version:
        was = recorded[1] if recorded else "an unknown compiler"
        return f"not compared: {HEADER.name} was made by {was}, here is {version}"
    if compile_filter(clang, objdump) != committed:
        raise GenerateError(
            f"{HEADER.name} is not what {SOURCE.name} compiles to: "
            f"run `make -C native filter` and commit the result"
        )
    return f"{HEADER.name} is what {SOURCE.name} compiles to"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    try:
        clang = find_tool("CLANG", "clang")
        objdump = find_tool("LLVM_OBJDUMP", "llvm-objdump")
        if arguments.check:
            said = check(clang, objdump)
        else:
            HEADER.write_text(compile_filter(clang, objdump), encoding="utf-8")
            said = f"wrote {HEADER}"
    except (GenerateError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"gen_filter: {error}\n")
        return 1
    sys.stdout.write(f"gen_filter: {said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
