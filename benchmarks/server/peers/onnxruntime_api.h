// What triton_onnxruntime.cc calls of onnxruntime's C API. Its package has the library and no header; a function's
// place in the table that the library hands out never changes.
#pragma once

#include <cstddef>
#include <cstdint>

struct OrtAllocator;
struct OrtEnv;
struct OrtMemoryInfo;
struct OrtSession;
struct OrtSessionOptions;
struct OrtStatus;
struct OrtTensorTypeAndShapeInfo;
struct OrtValue;

struct OrtApiBase {
  const void* const* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};
extern "C" const OrtApiBase* OrtGetApiBase();

namespace ort {

constexpr uint32_t kVersion = 1;  // of the API: the functions below are of its first
constexpr int kLogWarnings = 2, kArena = 1, kDefaultMemory = 0, kFloat = 1;

// Call the function at a place of the table.
template <int place, class Result, class... Arguments>
Result call(Arguments... arguments) {
  static const void* const* table = OrtGetApiBase()->GetApi(kVersion);
  return reinterpret_cast<Result (*)(Arguments...)>(const_cast<void*>(table[place]))(arguments...);
}

inline const char* GetErrorMessage(const OrtStatus* status) { return call<2, const char*>(status); }
inline OrtStatus* CreateEnv(int log_level, const char* log_id, OrtEnv** environment) {
  return call<3, OrtStatus*>(log_level, log_id, environment);
}
inline OrtStatus* CreateSession(
    const OrtEnv* environment, const char* path,
    const OrtSessionOptions* options, OrtSession** session) {
  return call<7, OrtStatus*>(environment, path, options, session);
}
inline OrtStatus* Run(
    OrtSession* session, const void* options, const char* const* input_names, const OrtValue* const* inputs,
    size_t n_inputs, const char* const* output_names, size_t n_outputs, OrtValue** outputs) {
  return call<9, OrtStatus*>(session, options, input_names, inputs, n_inputs, output_names, n_outputs, outputs);
}
inline OrtStatus* CreateSessionOptions(OrtSessionOptions** options) { return call<10, OrtStatus*>(options); }
inline OrtStatus* SetIntraOpNumThreads(OrtSessionOptions* options, int threads) {
  return call<24, OrtStatus*>(options, threads);
}
inline OrtStatus* SessionGetInputCount(const OrtSession* session, size_t* count) {
  return call<30, OrtStatus*>(session, count);
}
inline OrtStatus* SessionGetOutputCount(const OrtSession* session, size_t* count) {
  return call<31, OrtStatus*>(session, count);
}
inline OrtStatus* SessionGetInputName(const OrtSession* session, size_t index, OrtAllocator* allocator, char** name) {
  return call<36, OrtStatus*>(session, index, allocator, name);
}
inline OrtStatus* SessionGetOutputName(const OrtSession* session, size_t index, OrtAllocator* allocator, char** name) {
  return call<37, OrtStatus*>(session, index, allocator, name);
}
inline OrtStatus* CreateTensorWithDataAsOrtValue(
    const OrtMemoryInfo* memory, void* data, size_t bytes,
    const int64_t* shape, size_t dimensions, int datatype, OrtValue** value) {
  return call<49, OrtStatus*>(memory, data, bytes, shape, dimensions, datatype, value);
}
inline OrtStatus* GetTensorMutableData(OrtValue* value, void** data) { return call<51, OrtStatus*>(value, data); }
inline OrtStatus* GetDimensionsCount(const OrtTensorTypeAndShapeInfo* info, size_t* count) {
  return call<61, OrtStatus*>(info, count);
}
inline OrtStatus* GetDimensions(const OrtTensorTypeAndShapeInfo* info, int64_t* shape, size_t count) {
  return call<62, OrtStatus*>(info, shape, count);
}
inline OrtStatus* GetTensorTypeAndShape(const OrtValue* value, OrtTensorTypeAndShapeInfo** info) {
  return call<65, OrtStatus*>(value, info);
}
inline OrtStatus* CreateCpuMemoryInfo(int allocator, int memory, OrtMemoryInfo** info) {
  return call<69, OrtStatus*>(allocator, memory, info);
}
inline OrtStatus* AllocatorFree(OrtAllocator* allocator, void* memory) {
  return call<76, OrtStatus*>(allocator, memory);
}
inline OrtStatus* GetAllocatorWithDefaultOptions(OrtAllocator** allocator) { return call<78, OrtStatus*>(allocator); }
inline void ReleaseEnv(OrtEnv* environment) { return call<92, void>(environment); }
inline void ReleaseStatus(OrtStatus* status) { return call<93, void>(status); }
inline void ReleaseMemoryInfo(OrtMemoryInfo* info) { return call<94, void>(info); }
inline void ReleaseSession(OrtSession* session) { return call<95, void>(session); }
inline void ReleaseValue(OrtValue* value) { return call<96, void>(value); }
inline void ReleaseTensorTypeAndShapeInfo(OrtTensorTypeAndShapeInfo* info) { return call<99, void>(info); }
inline void ReleaseSessionOptions(OrtSessionOptions* options) { return call<100, void>(options); }

}  // namespace ort
