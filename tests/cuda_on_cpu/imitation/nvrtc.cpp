// NVRTC: host_compiler.py compiles, and its shared library is what is called CUBIN (or PTX) here.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

extern char** environ;

namespace {

enum Result { success = 0, invalid_input = 3, invalid_option = 5, compilation = 6, internal_error = 11 };

struct Program {
  std::string source, log, binary;
  std::vector<std::string> instances;
  std::map<std::string, std::string> lowered;
};

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Run host_compiler.py with what it prints going to files.
int run(std::vector<std::string> arguments, const std::filesystem::path& out, const std::filesystem::path& log) {
  arguments.insert(arguments.begin(), {CUDA_ON_CPU_PYTHON, "-I", CUDA_ON_CPU_COMPILER});
  std::vector<char*> words;
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), 0x241, 0600);  // write, create, truncate
  posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), 0x241, 0600);
  pid_t child;
  int status = -1;
  if (posix_spawn(&child, words[0], &actions, nullptr, words.data(), environ) == 0) waitpid(child, &status, 0);
  posix_spawn_file_actions_destroy(&actions);
  return status;
}

struct Folder {  // for one run
  std::filesystem::path path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "cuda_on_cpu_nvrtc_XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

}  // namespace

extern "C" {
#pragma GCC visibility push(default)

const char* nvrtcGetErrorString(int result) {
  switch (result) {
    case success: return "NVRTC_SUCCESS";
    case invalid_input: return "NVRTC_ERROR_INVALID_INPUT";
    case invalid_option: return "NVRTC_ERROR_INVALID_OPTION";
    case compilation: return "NVRTC_ERROR_COMPILATION";
    default: return "NVRTC_ERROR_INTERNAL_ERROR";
  }
}
int nvrtcVersion(int* major, int* minor) { return *major = 12, *minor = 9, success; }
int nvrtcGetNumSupportedArchs(int* number) { return *number = 3, success; }
int nvrtcGetSupportedArchs(int* architectures) {
  const int all[] = {70, 80, 90};
  std::memcpy(architectures, all, sizeof all);
  return success;
}

int nvrtcCreateProgram(Program** result, const char* source, const char*, int headers, const char**, const char**) {
  if (headers) return invalid_input;  // only Jitify gives headers as text
  *result = new Program{source, "", "", {}, {}};
  return success;
}
int nvrtcDestroyProgram(Program** program) {
  delete *program;
  *program = nullptr;
  return success;
}
int nvrtcAddNameExpression(Program* program, const char* name) {
  program->instances.emplace_back(name);
  return success;
}

int nvrtcCompileProgram(Program* program, int count, const char** options) {
  const Folder folder;
  const auto source = folder.path / "source.cu", library = folder.path / "library.so";
  const auto out = folder.path / "out.txt", log = folder.path / "log.txt";
  if (program->source.empty()) {  // CuPy asks so for what tells one compiler from another, to name what it keeps
    if (run({"--version"}, out, log) != 0) return internal_error;
    program->binary = "// " + read(out);
    return success;
  }
  std::ofstream(source) << program->source;
  std::vector<std::string> arguments{source.string(), library.string()};
  arguments.insert(arguments.end(), options, options + count);
  arguments.emplace_back("--");
  arguments.insert(arguments.end(), program->instances.begin(), program->instances.end());
  const int status = run(arguments, out, log);
  program->log = read(log);
  if (status != 0) return compilation;
  program->binary = read(library);
  std::istringstream names(read(out));
  for (const std::string& instance : program->instances) std::getline(names, program->lowered[instance]);
  return success;
}

int nvrtcGetLoweredName(Program* program, const char* name, const char** lowered) {
  const auto found = program->lowered.find(name);
  if (found == program->lowered.end()) return invalid_input;
  return *lowered = found->second.c_str(), success;
}

static int give(const std::string& text, char* to) {
  std::memcpy(to, text.c_str(), text.size() + 1);
  return success;
}
int nvrtcGetPTXSize(Program* program, std::size_t* size) { return *size = program->binary.size() + 1, success; }
int nvrtcGetPTX(Program* program, char* to) { return give(program->binary, to); }
int nvrtcGetCUBINSize(Program* program, std::size_t* size) { return *size = program->binary.size() + 1, success; }
int nvrtcGetCUBIN(Program* program, char* to) { return give(program->binary, to); }
int nvrtcGetProgramLogSize(Program* program, std::size_t* size) { return *size = program->log.size() + 1, success; }
int nvrtcGetProgramLog(Program* program, char* to) { return give(program->log, to); }
int nvrtcGetLTOIRSize(Program*, std::size_t* size) { return *size = 0, success; }
int nvrtcGetLTOIR(Program*, char*) { return invalid_input; }

#pragma GCC visibility pop
}
