// Runs a file of `advmtl export` with ONNX Runtime and OpenCV: frames in, classes and metres out.
// What is done here, and why, stands on one page: docs/deployed_file.md, "In another program".
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <chrono>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace fs = std::filesystem;
using json = nlohmann::json;

static const std::string kResize = "by area where both sides shrink, else bilinear";
static const int kFormat = 2;  // of the metadata; a later one may mean something else

[[noreturn]] void fail(const std::string& reason) { throw std::runtime_error(reason); }

// A frame resized to `scaled`; the network sees `taken` of it, which lies at `shown` of its input.
struct Framing {
  cv::Size scaled;
  cv::Rect taken, shown;
};

// The same arithmetic as preprocessing/ground/framing.py: halves are rounded to even, offsets towards zero.
Framing frame_as(cv::Size frame, cv::Size net, const std::string& fit) {
  const double x = double(net.width) / frame.width, y = double(net.height) / frame.height;
  const double scale = fit == "crop" ? std::max(x, y) : std::min(x, y);
  cv::Size scaled(int(std::nearbyint(frame.width * scale)), int(std::nearbyint(frame.height * scale)));
  const bool alike = std::max(x, y) <= 1.01 * std::min(x, y);
  const bool near = std::abs(scaled.width - net.width) <= 1 && std::abs(scaled.height - net.height) <= 1;
  if (fit == "stretch" || alike || near) return {net, {{0, 0}, net}, {{0, 0}, net}};
  scaled = {std::max(1, scaled.width), std::max(1, scaled.height)};
  const int left = (scaled.width - net.width) / 2, top = (scaled.height - net.height) / 2;  // below 0: padded
  const cv::Rect taken = cv::Rect({left, top}, net) & cv::Rect({0, 0}, scaled);
  return {scaled, taken, {taken.tl() - cv::Point(left, top), taken.size()}};
}

// The frame, BGR as OpenCV reads it, as the network wants it: RGB, resized as `advmtl.resize` says.
cv::Mat prepare(const cv::Mat& bgr, const Framing& framing, cv::Size net) {
  cv::Mat image = bgr, rgb;
  if (framing.scaled != bgr.size()) {
    const bool shrinks = framing.scaled.width <= bgr.cols && framing.scaled.height <= bgr.rows;
    cv::resize(bgr, image, framing.scaled, 0, 0, shrinks ? cv::INTER_AREA : cv::INTER_LINEAR);
  }
  if (framing.scaled != net) {
    const cv::Rect& at = framing.shown;
    const int edge = cv::BORDER_REPLICATE | cv::BORDER_ISOLATED;  // ISOLATED: not what was cut off beside the part
    cv::Mat whole;
    cv::copyMakeBorder(image(framing.taken), whole, at.y, net.height - at.br().y, at.x, net.width - at.br().x, edge);
    image = whole;
  }
  cv::cvtColor(image, rgb, cv::COLOR_BGR2RGB);
  return rgb;  // continuous, [h,w,3]
}

// A number of the command line, all of it.
double number_of(const std::string& option, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end || !(value > 0)) fail(option + " " + text + ": not a number above 0");
  return value;
}

double number(const json& meta, const char* key) {
  return meta.contains(key) && meta[key].is_number() ? meta[key].get<double>() : 0;
}

// The focal length that the network sees over the one that depth was learnt for; nothing where the file's own holds.
std::optional<float> lens_zoom(const json& meta, cv::Size frame, const Framing& framing, double fx) {
  double fy = fx;
  if (fx <= 0) {  // nobody tells it: the file's own lens, which shows the same angle from side to side in any frame
    if (!meta.contains("lens") || meta["lens"].is_null()) return std::nullopt;
    const json& lens = meta["lens"];
    const double width = lens["size"][0], height = lens["size"][1], wide = frame.width / width;
    fx = lens["fx_px"].get<double>() * wide;
    fy = lens["fy_px"].get<double>() * std::max(1.0, std::nearbyint(height * wide)) / height;
  }
  const double canonical = number(meta, "canonical_fx_px"), trained = number(meta, "trained_fx_px");
  const double learnt = canonical > 0 ? canonical : trained;
  if (learnt <= 0) fail("this file does not tell the lens it was trained behind; leave --fx out");
  const double x = double(framing.scaled.width) / frame.width, y = double(framing.scaled.height) / frame.height;
  const double zoom = std::sqrt(fx * x * fy * y) / learnt;
  if (zoom < 0.25 || zoom > 4) fail("--fx: more than 4 times as long or short as the lens that depth was learnt for");
  return float(zoom);
}

// An output of one frame, [C,h,w] or [h,w], without what stands beside a padded frame.
struct Map {
  std::string name;
  bool bytes;  // uint8; else float32
  std::vector<cv::Mat> planes;
};

void write_npy(const fs::path& path, const Map& map) {
  const cv::Mat& first = map.planes[0];
  std::string shape = map.planes.size() > 1 ? std::to_string(map.planes.size()) + ", " : "";
  shape += std::to_string(first.rows) + ", " + std::to_string(first.cols);
  const std::string type = map.bytes ? "|u1" : "<f4";
  std::string head = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape + "), }";
  head.append((64 - (10 + head.size() + 1) % 64) % 64, ' ').push_back('\n');
  std::ofstream file(path, std::ios::binary);
  const unsigned length = unsigned(head.size());
  file << "\x93NUMPY\x01" << '\0' << char(length & 255) << char(length >> 8) << head;
  for (const cv::Mat& plane : map.planes)
    for (int row = 0; row < plane.rows; ++row)
      file.write(plane.ptr<char>(row), std::streamsize(plane.cols * plane.elemSize()));
  if (!file) fail("cannot write " + path.string());
}

// As `advmtl predict --raw`: classes as ids, depth as metres * 256 in 16 bits, 0 where there is none.
void write_png(const fs::path& path, const cv::Mat& plane) {
  cv::Mat content = plane;
  if (plane.type() == CV_32F) {
    content = cv::Mat(plane.size(), CV_16U);
    for (int row = 0; row < plane.rows; ++row)
      for (int column = 0; column < plane.cols; ++column) {
        const float metres = plane.at<float>(row, column);
        content.at<uint16_t>(row, column) = metres >= 0 && metres < 256 ? cv::saturate_cast<uint16_t>(metres * 256) : 0;
      }
  }
  if (!cv::imwrite(path.string(), content)) fail("cannot write " + path.string());
}

// Whether an output means nothing: classes are 255 everywhere, or a number is NaN, or infinite where it is not the sky.
bool faulty(const Map& map, const cv::Mat& classes, const std::set<int>& sky) {
  if (map.bytes) return map.name == "classes" && cv::countNonZero(classes == 255) > 0;
  for (const cv::Mat& plane : map.planes)
    for (int row = 0; row < plane.rows; ++row)
      for (int column = 0; column < plane.cols; ++column) {
        const float value = plane.at<float>(row, column);
        const bool no_distance = !classes.empty() && sky.count(classes.at<uint8_t>(row, column));
        const bool endless = std::isinf(value) && value > 0 && no_distance;
        if (!std::isfinite(value) && !endless) return true;
      }
  return false;
}

using Next = std::function<bool(std::string&, cv::Mat&)>;

// Pictures of a folder by name, else a video, a stream, or a camera by its number.
Next open_source(const std::string& source) {
  if (!fs::is_directory(source)) {
    auto capture = std::make_shared<cv::VideoCapture>();
    const bool camera = std::all_of(source.begin(), source.end(), ::isdigit);
    const bool opened = camera ? capture->open(std::stoi(source)) : capture->open(source);
    if (!opened) fail("cannot open " + source);
    return [capture, count = 0](std::string& name, cv::Mat& frame) mutable {
      char text[16];
      std::snprintf(text, sizeof text, "%06d", count++);
      name = text;
      return capture->read(frame);
    };
  }
  auto paths = std::make_shared<std::vector<fs::path>>();
  for (const auto& entry : fs::directory_iterator(source))
    if (entry.is_regular_file() && cv::haveImageReader(entry.path().string())) paths->push_back(entry.path());
  std::sort(paths->begin(), paths->end());
  if (paths->empty()) fail("no picture in " + source);
  std::set<fs::path> stems;
  for (const fs::path& path : *paths)
    if (!stems.insert(path.stem()).second) fail("two pictures are called " + path.stem().string());
  return [paths, at = size_t(0)](std::string& name, cv::Mat& frame) mutable {
    if (at == paths->size()) return false;
    frame = cv::imread((*paths)[at].string(), cv::IMREAD_COLOR);
    if (frame.empty()) fail("cannot read " + (*paths)[at].string());
    name = (*paths)[at++].stem().string();
    return true;
  };
}

void print(const char* what, std::vector<double> ms) {
  if (ms.size() > 1) ms.erase(ms.begin());  // the first frame allocates
  std::sort(ms.begin(), ms.end());
  const auto at = [&](double share) { return ms[std::min(ms.size() - 1, size_t(share * double(ms.size())))]; };
  std::printf("%8s: p50 %.2f ms, p99 %.2f ms\n", what, at(0.5), at(0.99));
}

int run(int argc, char** argv) {
  std::string model, source, fit;
  fs::path out, arrays;
  double fx = 0;
  int threads = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool option = word.rfind("--", 0) == 0;
    if (option && i + 1 == argc) fail(word + " needs a value");
    if (word == "--out") out = argv[++i];
    else if (word == "--arrays") arrays = argv[++i];
    else if (word == "--fx") fx = number_of(word, argv[i + 1]), ++i;
    else if (word == "--fit") fit = argv[++i];
    else if (word == "--threads") threads = int(number_of(word, argv[i + 1])), ++i;
    else if (option) fail("no option " + word);
    else (model.empty() ? model : source) = word;
  }
  if (source.empty())
    fail("usage: run_model MODEL.onnx FOLDER|VIDEO|CAMERA [--out DIR] [--arrays DIR] [--fx PIXELS]"
         " [--fit crop|pad|stretch] [--threads N]");
  for (const fs::path& folder : {out, arrays})
    if (!folder.empty()) {
      fs::create_directories(folder);
      if (fs::is_directory(source) && fs::equivalent(folder, source))
        fail("results need a folder of their own");
    }

  Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "advmtl");  // a warning about lens_zoom, which is meant so, is not shown
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(threads);
  options.AddConfigEntry("session.intra_op.allow_spinning", "0");
  Ort::Session session(env, fs::path(model).c_str(), options);
  Ort::AllocatorWithDefaultOptions allocator;
  const auto text = session.GetModelMetadata().LookupCustomMetadataMapAllocated("advmtl", allocator);
  if (!text) fail(model + ": no advmtl metadata; make the file with `advmtl export`");
  const json meta = json::parse(text.get());
  if (meta.value("format_version", 0) != kFormat) fail(model + ": metadata of another format than 2");
  if (meta["resize"] != kResize) fail(model + ": an unknown resize rule, " + meta["resize"].dump());
  if (meta.value("batch", 1) != 1) fail(model + ": takes several frames at a time; this program gives one");
  if (fit.empty()) fit = meta["fit"];
  if (fit != "crop" && fit != "pad" && fit != "stretch") fail("fit " + fit + ": crop, pad or stretch");
  const cv::Size net(meta["size"][0], meta["size"][1]);
  const bool of_lens = session.GetOverridableInitializerCount() > 0;  // lens_zoom, of files that need it
  std::vector<std::string> names = meta["outputs"];
  std::vector<const char*> wanted;
  for (const auto& name : names) wanted.push_back(name.c_str());

  const std::set<int> sky = meta["sky"];
  const Next next = open_source(source);
  const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const std::vector<int64_t> shape = {1, net.height, net.width, 3}, one = {1};
  std::vector<double> before, inside, total;
  std::string name;
  cv::Mat frame;
  int faults = 0;
  using Clock = std::chrono::steady_clock;  // monotonic: setting the system's time moves no latency
  while (next(name, frame)) {
    const auto start = Clock::now();
    const Framing framing = frame_as(frame.size(), net, fit);
    cv::Mat image = prepare(frame, framing, net);
    std::vector<Ort::Value> inputs;
    std::vector<const char*> given = {"image"};
    inputs.push_back(
        Ort::Value::CreateTensor<uint8_t>(memory, image.data, image.total() * 3, shape.data(), shape.size()));
    std::optional<float> zoom = of_lens ? lens_zoom(meta, frame.size(), framing, fx) : std::nullopt;
    if (zoom) {
      given.push_back("lens_zoom");
      inputs.push_back(Ort::Value::CreateTensor<float>(memory, &*zoom, 1, one.data(), 1));
    }
    const auto ready = Clock::now();
    auto values = session.Run(Ort::RunOptions{nullptr}, given.data(), inputs.data(), inputs.size(), wanted.data(),
                              wanted.size());
    const auto done = Clock::now();
    const auto ms = [](auto from, auto to) { return std::chrono::duration<double, std::milli>(to - from).count(); };
    before.push_back(ms(start, ready)), inside.push_back(ms(ready, done)), total.push_back(ms(start, done));

    std::vector<Map> maps;
    cv::Mat classes;
    for (size_t i = 0; i < values.size(); ++i) {
      const auto info = values[i].GetTensorTypeAndShapeInfo();
      const bool bytes = info.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
      const size_t size = size_t(net.area()) * (bytes ? 1 : 4), count = info.GetElementCount() / size_t(net.area());
      Map map{names[i], bytes, {}};
      uint8_t* content = values[i].GetTensorMutableData<uint8_t>();
      for (size_t plane = 0; plane < count; ++plane)
        map.planes.push_back(cv::Mat(net, bytes ? CV_8U : CV_32F, content + plane * size)(framing.shown));
      if (map.name == "classes") classes = map.planes[0];
      maps.push_back(map);
    }
    bool bad = false;
    for (const Map& map : maps) {
      bad = bad || faulty(map, classes, sky);
      if (!arrays.empty()) write_npy(arrays / (name + "_" + map.name + ".npy"), map);
      if (out.empty()) continue;
      if (map.name == "classes") write_png(out / (name + "_classes.png"), map.planes[0]);
      if (map.name == "depth_m") write_png(out / (name + "_depth.png"), map.planes[0]);
    }
    if (bad) ++faults, std::cerr << "invalid outputs on " << name << "\n";
  }
  std::printf("%zu frames at %dx%d, %s, %d with invalid outputs\n", total.size(), net.width, net.height, fit.c_str(),
              faults);
  if (total.empty()) fail("no frame in " + source);
  print("prepare", before), print("net", inside), print("total", total);
  return faults ? 3 : 0;
}

int main(int argc, char** argv) try {
  return run(argc, argv);
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 2;
}
