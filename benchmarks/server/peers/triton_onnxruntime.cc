// A backend for Triton that runs ONNX files with onnxruntime on the CPU: float32 tensors, one thread an instance.
//
// Triton's own ONNX Runtime backend is in no package that pip installs. This one does the least that a backend can:
// the inputs of one request are not copied, those of several are joined; outputs are copied into the responses.
#include <cstdint>
#include <cstring>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "onnxruntime_api.h"

extern "C" {
struct TRITONSERVER_Error;
struct TRITONBACKEND_Model;
struct TRITONBACKEND_ModelInstance;
struct TRITONBACKEND_Request;
struct TRITONBACKEND_Response;
struct TRITONBACKEND_Input;
struct TRITONBACKEND_Output;
using Error = TRITONSERVER_Error*;

Error TRITONSERVER_ErrorNew(int code, const char* message);
const char* TRITONSERVER_ErrorMessage(Error error);
Error TRITONBACKEND_ModelVersion(TRITONBACKEND_Model*, uint64_t* version);
Error TRITONBACKEND_ModelRepository(TRITONBACKEND_Model*, int* kind, const char** folder);
Error TRITONBACKEND_ModelState(TRITONBACKEND_Model*, void** state);
Error TRITONBACKEND_ModelSetState(TRITONBACKEND_Model*, void* state);
Error TRITONBACKEND_ModelInstanceModel(TRITONBACKEND_ModelInstance*, TRITONBACKEND_Model** model);
Error TRITONBACKEND_RequestInput(TRITONBACKEND_Request*, const char* name, TRITONBACKEND_Input** input);
Error TRITONBACKEND_RequestRelease(TRITONBACKEND_Request*, uint32_t flags);
Error TRITONBACKEND_InputProperties(
    TRITONBACKEND_Input*, const char** name, int* datatype, const int64_t** shape, uint32_t* dimensions,
    uint64_t* bytes, uint32_t* buffers);
Error TRITONBACKEND_InputBuffer(
    TRITONBACKEND_Input*, uint32_t index, const void** buffer, uint64_t* bytes, int* memory, int64_t* memory_id);
Error TRITONBACKEND_ResponseNew(TRITONBACKEND_Response**, TRITONBACKEND_Request*);
Error TRITONBACKEND_ResponseOutput(
    TRITONBACKEND_Response*, TRITONBACKEND_Output**, const char* name, int datatype, const int64_t* shape,
    uint32_t dimensions);
Error TRITONBACKEND_OutputBuffer(TRITONBACKEND_Output*, void** buffer, uint64_t bytes, int* memory, int64_t* memory_id);
Error TRITONBACKEND_ResponseSend(TRITONBACKEND_Response*, uint32_t flags, Error error);
Error TRITONBACKEND_ModelInstanceReportStatistics(
    TRITONBACKEND_ModelInstance*, TRITONBACKEND_Request*, bool success, uint64_t began_ns, uint64_t compute_ns,
    uint64_t computed_ns, uint64_t ended_ns);
Error TRITONBACKEND_ModelInstanceReportBatchStatistics(
    TRITONBACKEND_ModelInstance*, uint64_t rows, uint64_t began_ns, uint64_t compute_ns, uint64_t computed_ns,
    uint64_t ended_ns);
}

namespace {

constexpr int kInternal = 1, kFloat32 = 11, kCpu = 0;
constexpr uint32_t kFinal = 1, kReleaseAll = 1;

void check(OrtStatus* status) {
  if (status == nullptr) return;
  std::string message = ort::GetErrorMessage(status);
  ort::ReleaseStatus(status);
  throw std::runtime_error(message);
}

void check(Error error) {
  if (error != nullptr) throw std::runtime_error(TRITONSERVER_ErrorMessage(error));
}

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

struct ReleaseValue {
  void operator()(OrtValue* value) const { ort::ReleaseValue(value); }
};
using Value = std::unique_ptr<OrtValue, ReleaseValue>;

struct Model {
  OrtEnv* environment = nullptr;
  OrtSession* session = nullptr;
  OrtMemoryInfo* cpu = nullptr;
  std::vector<std::string> inputs, outputs;
  std::vector<const char*> input_names, output_names;

  explicit Model(const std::string& path) {
    OrtSessionOptions* options = nullptr;
    OrtAllocator* allocator = nullptr;
    check(ort::CreateEnv(ort::kLogWarnings, "triton", &environment));
    check(ort::CreateSessionOptions(&options));
    check(ort::SetIntraOpNumThreads(options, 1));
    check(ort::CreateSession(environment, path.c_str(), options, &session));
    ort::ReleaseSessionOptions(options);
    check(ort::CreateCpuMemoryInfo(ort::kArena, ort::kDefaultMemory, &cpu));
    check(ort::GetAllocatorWithDefaultOptions(&allocator));
    size_t count = 0;
    char* name = nullptr;
    check(ort::SessionGetInputCount(session, &count));
    for (size_t i = 0; i < count; ++i) {
      check(ort::SessionGetInputName(session, i, allocator, &name));
      inputs.emplace_back(name);
      check(ort::AllocatorFree(allocator, name));
    }
    check(ort::SessionGetOutputCount(session, &count));
    for (size_t i = 0; i < count; ++i) {
      check(ort::SessionGetOutputName(session, i, allocator, &name));
      outputs.emplace_back(name);
      check(ort::AllocatorFree(allocator, name));
    }
    for (const auto& input : inputs) input_names.push_back(input.c_str());
    for (const auto& output : outputs) output_names.push_back(output.c_str());
  }

  ~Model() {
    ort::ReleaseSession(session);
    ort::ReleaseMemoryInfo(cpu);
    ort::ReleaseEnv(environment);
  }
};

// Requests that are executed together: first dimensions add up, the others are the same.
struct Batch {
  TRITONBACKEND_Request** requests;
  uint32_t count;
  std::vector<int64_t> rows;
  std::vector<std::unique_ptr<char[]>> joined;  // inputs that did not come in one piece

  Batch(TRITONBACKEND_Request** some, uint32_t number) : requests(some), count(number), rows(number) {}

  Value gather(const Model& model, const char* name) {
    std::vector<TRITONBACKEND_Input*> inputs(count);
    std::vector<int64_t> shape;
    uint32_t buffers = 0;
    uint64_t bytes = 0;
    for (uint32_t r = 0; r < count; ++r) {
      const int64_t* dimensions = nullptr;
      uint32_t ndim = 0;
      uint64_t size = 0;
      check(TRITONBACKEND_RequestInput(requests[r], name, &inputs[r]));
      check(TRITONBACKEND_InputProperties(inputs[r], nullptr, nullptr, &dimensions, &ndim, &size, &buffers));
      rows[r] = dimensions[0];
      if (r == 0) shape.assign(dimensions, dimensions + ndim); else shape[0] += dimensions[0];
      bytes += size;
    }
    const void* data = nullptr;
    const bool one_piece = count == 1 && buffers == 1;
    if (!one_piece) {
      joined.emplace_back(new char[bytes]);
      data = joined.back().get();
    }
    uint64_t at = 0;
    for (auto* input : inputs) {
      check(TRITONBACKEND_InputProperties(input, nullptr, nullptr, nullptr, nullptr, nullptr, &buffers));
      for (uint32_t b = 0; b < buffers; ++b) {
        const void* piece = nullptr;
        int memory = kCpu;
        int64_t memory_id = 0;
        uint64_t size = 0;
        check(TRITONBACKEND_InputBuffer(input, b, &piece, &size, &memory, &memory_id));
        if (one_piece) data = piece; else std::memcpy(joined.back().get() + at, piece, size);
        at += size;
      }
    }
    OrtValue* value = nullptr;
    check(ort::CreateTensorWithDataAsOrtValue(
        model.cpu, const_cast<void*>(data), bytes, shape.data(), shape.size(), ort::kFloat, &value));
    return Value(value);
  }

  void scatter(OrtValue* value, const char* name, const std::vector<TRITONBACKEND_Response*>& responses) {
    OrtTensorTypeAndShapeInfo* info = nullptr;
    size_t ndim = 0;
    void* data = nullptr;
    check(ort::GetTensorTypeAndShape(value, &info));
    check(ort::GetDimensionsCount(info, &ndim));
    std::vector<int64_t> shape(ndim);
    check(ort::GetDimensions(info, shape.data(), ndim));
    ort::ReleaseTensorTypeAndShapeInfo(info);
    check(ort::GetTensorMutableData(value, &data));
    uint64_t row = sizeof(float);
    for (size_t d = 1; d < ndim; ++d) row *= shape[d];
    auto from = static_cast<const char*>(data);
    for (uint32_t r = 0; r < count; ++r) {
      TRITONBACKEND_Output* output = nullptr;
      void* buffer = nullptr;
      int memory = kCpu;
      int64_t memory_id = 0;
      if (count > 1) shape[0] = rows[r];
      const uint64_t bytes = row * shape[0];
      check(TRITONBACKEND_ResponseOutput(responses[r], &output, name, kFloat32, shape.data(), ndim));
      check(TRITONBACKEND_OutputBuffer(output, &buffer, bytes, &memory, &memory_id));
      std::memcpy(buffer, from, bytes);
      from += bytes;
    }
  }
};

void run(TRITONBACKEND_ModelInstance* instance, const Model& model, Batch& batch,
         const std::vector<TRITONBACKEND_Response*>& responses) {
  const uint64_t began = now_ns();
  std::vector<Value> inputs;
  std::vector<const OrtValue*> given;
  for (const char* name : model.input_names) inputs.push_back(batch.gather(model, name));
  for (const auto& input : inputs) given.push_back(input.get());
  const uint64_t compute = now_ns();
  std::vector<OrtValue*> raw(model.outputs.size(), nullptr);
  check(ort::Run(model.session, nullptr, model.input_names.data(), given.data(), given.size(),
                   model.output_names.data(), raw.size(), raw.data()));
  std::vector<Value> outputs(raw.begin(), raw.end());
  const uint64_t computed = now_ns();
  for (size_t i = 0; i < outputs.size(); ++i) batch.scatter(outputs[i].get(), model.output_names[i], responses);
  const uint64_t ended = now_ns();
  uint64_t rows = 0;
  for (uint32_t r = 0; r < batch.count; ++r) {
    rows += batch.rows[r];
    check(TRITONBACKEND_ModelInstanceReportStatistics(
        instance, batch.requests[r], true, began, compute, computed, ended));
  }
  check(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, rows, began, compute, computed, ended));
}

}  // namespace

extern "C" {

Error TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model* model) {
  try {
    int kind = 0;
    const char* folder = nullptr;
    uint64_t version = 0;
    check(TRITONBACKEND_ModelRepository(model, &kind, &folder));
    check(TRITONBACKEND_ModelVersion(model, &version));
    auto loaded = std::make_unique<Model>(std::string(folder) + "/" + std::to_string(version) + "/model.onnx");
    return TRITONBACKEND_ModelSetState(model, loaded.release());
  } catch (const std::exception& error) {
    return TRITONSERVER_ErrorNew(kInternal, error.what());
  }
}

Error TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model* model) {
  void* state = nullptr;
  Error error = TRITONBACKEND_ModelState(model, &state);
  delete static_cast<Model*>(state);
  return error;
}

Error TRITONBACKEND_ModelInstanceExecute(
    TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Request** requests, const uint32_t count) {
  std::vector<TRITONBACKEND_Response*> responses(count);
  std::string failure;
  for (uint32_t r = 0; r < count; ++r)
    if (Error error = TRITONBACKEND_ResponseNew(&responses[r], requests[r])) return error;
  try {
    TRITONBACKEND_Model* model = nullptr;
    void* state = nullptr;
    check(TRITONBACKEND_ModelInstanceModel(instance, &model));
    check(TRITONBACKEND_ModelState(model, &state));
    Batch batch(requests, count);
    run(instance, *static_cast<Model*>(state), batch, responses);
  } catch (const std::exception& error) {
    failure = error.what();
  }
  for (uint32_t r = 0; r < count; ++r) {
    Error error = failure.empty() ? nullptr : TRITONSERVER_ErrorNew(kInternal, failure.c_str());
    TRITONBACKEND_ResponseSend(responses[r], kFinal, error);
    TRITONBACKEND_RequestRelease(requests[r], kReleaseAll);
  }
  return nullptr;
}

}  // extern "C"
