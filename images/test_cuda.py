"""Looks at an image of `make images-cuda`, which CUDA_ARCHIVE names, and compiles kernels by the NVRTC inside it.

NVRTC needs no GPU; what runs the kernels does, and is not tested here.
"""

import ctypes
import os
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

from test_images import Image

ARCHIVE = os.environ.get("CUDA_ARCHIVE")
# What CubeCL's kernels may include (cubecl-cpp 0.10, cuda/dialect.rs), in its combinations.
INCLUDES = [
    ["cuda_runtime.h"],
    ["cuda_runtime.h", "cuda_bf16.h", "cuda_fp16.h", "cuda_fp8.h", "cuda_fp6.h", "cuda_fp4.h", "mma.h"],
    ["cuda_runtime.h", "cooperative_groups/memcpy_async.h", "cuda/pipeline"],
    ["cuda_runtime.h", "cooperative_groups.h", "cooperative_groups/memcpy_async.h", "cuda/barrier", "cuda/ptx"],
]
KERNEL = """extern "C" __global__ void twice(float *x, unsigned n) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] *= 2.0f;
}
"""
TRAINING = """apiVersion: medtrain.io/v1alpha1
kind: MedicalTraining
metadata: {name: first}
spec: {model: {uri: /model}, stages: [{name: pt, kind: PT, dataset: {train: [/data.txt]}}]}
"""
# Turing, Hopper, Blackwell.
ARCHITECTURES = ["sm_75", "sm_90a", "sm_120a"]
CUDA = "/usr/local/cuda"


def compile_inside(root):
    """Every combination for every architecture, by the image's own library; None, or what went wrong."""
    os.chroot(root)
    os.chdir("/")
    nvrtc = ctypes.CDLL("libnvrtc.so.13")
    options = [f"--include-path={CUDA}/include", f"--include-path={CUDA}/include/cccl", "-lineinfo"]
    for architecture in ARCHITECTURES:
        for headers in INCLUDES:
            source = "".join(f"#include <{header}>\n" for header in headers) + KERNEL
            program, length = ctypes.c_void_p(), ctypes.c_size_t()
            if nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), None, 0, None, None) != 0:
                return "nvrtcCreateProgram failed"
            given = [f"--gpu-architecture={architecture}".encode(), *(option.encode() for option in options)]
            if nvrtc.nvrtcCompileProgram(program, len(given), (ctypes.c_char_p * len(given))(*given)) != 0:
                nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(length))
                log = ctypes.create_string_buffer(length.value)
                nvrtc.nvrtcGetProgramLog(program, log)
                return f"{architecture}, {headers}: {log.value.decode()}"
    return None


def in_a_child(work, *arguments):
    """What `work` returns in a process of its own, since a chroot has no way back."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = work(*arguments)
        except BaseException as error:
            found = repr(error)
        os.write(write, (found or "").encode()[:60_000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return text if status == 0 else f"ended with status {status}: {text}"


@unittest.skipUnless(ARCHIVE, "CUDA_ARCHIVE names no image; `make images-cuda` builds and tests one")
@unittest.skipUnless(os.getuid() == 0, "entering an image needs root")
class CudaImageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        cls.root = cls.directory.name
        # The program runs as the image's user.
        os.chmod(cls.root, 0o755)
        cls.image = Image(Path(ARCHIVE))
        with tarfile.open(ARCHIVE) as archive:
            for layer in cls.image.manifest["layers"]:
                blob = "blobs/sha256/" + layer["digest"].removeprefix("sha256:")
                with tarfile.open(fileobj=archive.extractfile(blob)) as files:
                    files.extractall(cls.root, filter="fully_trusted")

    def medtrain(self, *arguments):
        command = ["chroot", "--userspec=65532:65532", self.root, "/medtrain", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def test_the_node_s_runtime_is_asked_for_driver_and_devices(self):
        self.assertEqual(
            sorted(self.image.config["config"]["Env"])[:3],
            [f"CUDA_PATH={CUDA}", "NVIDIA_DRIVER_CAPABILITIES=compute,utility", "NVIDIA_VISIBLE_DEVICES=all"],
        )

    def test_the_program_starts(self):
        self.assertRegex(self.medtrain("--version").stdout, r"^medtrain \d")

    def test_without_a_driver_it_says_so_in_a_line(self):
        Path(self.root, "tmp/training.yaml").write_text(TRAINING)
        run = self.medtrain("run", "/tmp/training.yaml", "--device", "cuda")
        self.assertEqual((run.returncode, run.stdout), (71, ""), run.stderr)
        self.assertRegex(run.stderr, r"^error: --device cuda:0: .*libcuda[.]so[.]1.*\n$")

    def test_nvrtc_compiles_all_that_kernels_include(self):
        self.assertEqual(in_a_child(compile_inside, self.root), "")

    def test_the_licence_and_the_wheels_are_told(self):
        self.assertIn("usr/share/doc/nvidia-cuda/copyright", self.image.files)
        wheels = {p["name"] for p in self.image.sbom["packages"] if p["SPDXID"].startswith("SPDXRef-wheel-")}
        self.assertEqual(wheels, {f"nvidia-cuda-{part}" for part in ("nvrtc", "runtime", "crt", "cccl")})


if __name__ == "__main__":
    unittest.main()
