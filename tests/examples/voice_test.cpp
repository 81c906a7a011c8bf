// SPDX-License-Identifier: MIT
// The voice detector: WAV files of each coding, the stream against the module, allocations, label
// files, segments, and the real weights where they are. TAPELOOP_VOICE=folder names another folder
// of silero_vad_16k.safetensors, speech.wav and speech.tsv.
#include <cstdlib>
#include <filesystem>

#include "examples/common/text.h"
#include "examples/voice/detector.h"
#include "examples/voice/learning.h"
#include "examples/voice/report.h"
#include "examples/voice/signal.h"
#include "examples/voice/wav.h"
#include "tapeloop/autograd/files/files.h"
#include "tests/allocations.h"
#include "tests/support.h"

namespace voice {
namespace {

using namespace tapeloop;

bool throws_with(const std::function<void()>& callable, const std::string& text) {
  return test::throws_with(text, callable);
}

std::string little(std::uint64_t value, std::size_t bytes) {
  std::string result;
  for (std::size_t i = 0; i < bytes; ++i) result += static_cast<char>(value >> (8 * i));
  return result;
}

std::string wav(unsigned coding, unsigned channels, unsigned rate, unsigned bits,
                const std::string& samples, std::int64_t said = -1) {
  const std::string format = little(coding, 2) + little(channels, 2) + little(rate, 4) +
                             little(rate * channels * bits / 8, 4) +
                             little(channels * bits / 8, 2) + little(bits, 2);
  const auto size = said < 0 ? samples.size() : static_cast<std::uint64_t>(said);
  const std::string chunks = "WAVEfmt " + little(16, 4) + format + "LIST" + little(3, 4) + "abc" +
                             std::string(1, '\0') + "data" + little(size, 4) + samples;
  return "RIFF" + little(chunks.size(), 4) + chunks;
}

template <class T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::vector<float> noise(std::int64_t count) {
  std::vector<float> result;
  for (const double x : test::random_values(count, -0.5, 0.5))
    result.push_back(static_cast<float>(x));
  return result;
}

Detector small_detector() {
  Random random(7);
  return Detector({9, 5, 17, 6}, 11, random);
}

std::vector<float> streamed(VoiceStream& stream, std::span<const float> samples,
                            std::size_t piece) {
  std::vector<float> found;
  const VoiceStream::Take take = [&](float p) { found.push_back(p); };
  stream.reset();
  for (std::size_t at = 0; at < samples.size(); at += piece)
    stream.push(samples.subspan(at, std::min(piece, samples.size() - at)), take);
  stream.finish(take);
  return found;
}

std::filesystem::path new_folder(const char* name) {
  auto path = std::filesystem::temp_directory_path() / name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

TEST_CASE("a WAV file of each coding gives the same samples") {
  const std::vector<float> expected = {0.5f, -1.0f};
  const auto samples = [](const std::string& bytes, unsigned coding, unsigned bits) {
    return wav_of(wav(coding, 1, 16000, bits, bytes), "a.wav").samples;
  };
  CHECK(samples(little(192, 1) + little(0, 1), 1, 8) == expected);
  CHECK(samples(little(0x4000, 2) + little(0x8000, 2), 1, 16) == expected);
  CHECK(samples(little(0x400000, 3) + little(0x800000, 3), 1, 24) == expected);
  CHECK(samples(little(0x40000000, 4) + little(0x80000000, 4), 1, 32) == expected);
  CHECK(samples(bytes_of(0.5f) + bytes_of(-1.0f), 3, 32) == expected);
  CHECK(samples(bytes_of(0.5) + bytes_of(-1.0), 3, 64) == expected);
}

TEST_CASE("channels are mixed, and a file that is cut short is read, each with a remark") {
  const std::string four = little(0x4000, 2) + little(0, 2) + little(0x2000, 2) + little(0x2000, 2);
  const Sound stereo = wav_of(wav(1, 2, 16000, 16, four), "a.wav");
  CHECK(stereo.samples == std::vector<float>{0.25f, 0.25f});
  CHECK(stereo.remarks == std::vector<std::string>{"the mean of 2 channels is used"});
  const Sound cut = wav_of(wav(1, 1, 16000, 16, four, 100), "a.wav");
  CHECK(cut.samples.size() == 4);
  CHECK(cut.remarks ==
        std::vector<std::string>{"the file is cut short: 4 of 50 samples are there"});
  CHECK(wav_of(wav(1, 1, 16000, 16, four, 0xffffffff), "a.wav").remarks.empty());
  const std::string nan = bytes_of(std::nanf("")) + bytes_of(0.5f);
  const Sound mended = wav_of(wav(3, 1, 16000, 32, nan), "a.wav");
  CHECK(mended.samples == std::vector<float>{0.0f, 0.5f});
  CHECK(mended.remarks == std::vector<std::string>{"1 samples are NaN or infinite; they became 0"});
}

TEST_CASE("a WAV file that cannot be read is refused with what it has") {
  const auto refused = [](const std::string& bytes, const std::string& message) {
    return throws_with([&] { wav_of(bytes, "a.wav"); }, message);
  };
  const std::string one = little(1, 2);
  CHECK(refused(wav(1, 1, 44100, 16, one),
                "a.wav: 44100 samples per second, expected 16000; convert it: ffmpeg -i FILE -ar "
                "16000 -ac 1 new.wav"));
  CHECK(refused(wav(6, 1, 16000, 8, one),
                "a.wav: coding 6 with 8 bits, expected PCM (1) of 8, 16, 24 or 32 bits or floats "
                "(3) of 32 or 64; convert it: ffmpeg -i FILE -c:a pcm_s16le -ar 16000 -ac 1 "
                "new.wav"));
  CHECK(refused(wav(1, 0, 16000, 16, one), "a.wav: no channels, expected 1 or more"));
  CHECK(refused("ID3 and more than twelve bytes",
                "a.wav: is no WAV file: it does not begin with RIFF and WAVE; raw samples are read "
                "from standard input, with --data -"));
  CHECK(refused(wav(1, 1, 16000, 16, "").substr(0, 24),
                "a.wav: the format chunk has 4 bytes, expected 16 or more; the file is damaged or "
                "cut short"));
  CHECK(refused(wav(1, 1, 16000, 16, "").substr(0, 40),
                "a.wav: has no samples: the file is damaged or cut short"));
}

TEST_CASE("the stream calculates what the module calculates") {
  const Detector detector = small_detector();
  const std::vector<float> samples = noise(6 * kChunk + 100);
  nn::Lstm::State state;
  const Tensor spectra = detector.spectra(windows_of(samples));
  const Var p = sigmoid(detector.logits(spectra.insert_axis(1), state));
  VoiceStream stream(detector);
  const std::vector<float> found = streamed(stream, samples, samples.size());
  REQUIRE(found.size() == 7);
  CHECK(test::distance(std::vector<double>(found.begin(), found.end()),
                       p.value().to_vector<double>()) < 2e-6);
}

TEST_CASE("pieces of any length give the same bits") {
  const Detector detector = small_detector();
  const std::vector<float> samples = noise(5 * kChunk + 3);
  VoiceStream stream(detector);
  const std::vector<float> whole = streamed(stream, samples, samples.size());
  for (const std::size_t piece : {1u, 7u, 64u, 160u, 511u, 512u, 513u, 1500u}) {
    CAPTURE(piece);
    CHECK(streamed(stream, samples, piece) == whole);
  }
}

TEST_CASE("a stream refuses samples that are not finite, and stays usable") {
  const Detector detector = small_detector();
  VoiceStream stream(detector);
  const std::vector<float> bad = {0.0f, std::nanf("")};
  CHECK(throws_with([&] { stream.push(bad, [](float) {}); },
                    "voice: a sample is NaN or infinite, expected finite numbers"));
  CHECK(streamed(stream, noise(kChunk), 100).size() == 1);
}

TEST_CASE("a chunk allocates nothing") {
  if (!test::can_count_allocations()) return;
  const Detector detector = small_detector();
  VoiceStream stream(detector);
  const std::vector<float> samples = noise(20 * kChunk);
  float sum = 0;
  const VoiceStream::Take take = [&sum](float p) { sum += p; };
  stream.push(samples, take);
  const std::int64_t before = test::allocations();
  stream.push(samples, take);
  CHECK(test::allocations() - before == 0);
}

TEST_CASE("weights keep their names, and missing and surplus ones are named") {
  const auto folder = new_folder("tapeloop_voice_weights");
  const std::string path = (folder / "w.safetensors").string();
  const Detector detector = small_detector();
  nn::save(path, detector);
  const Detector again = read_detector(path);
  CHECK(test::same_bits(again.encoder[2].weight.value(), detector.encoder[2].weight.value()));
  StateDict state = nn::state_dict(detector);
  std::erase_if(state, [](const NamedTensor& t) { return t.name == "decoder.rnn.weight_hh"; });
  state.push_back({"more", Tensor::zeros({2})});
  nn::save(path, state);
  std::string message;
  try {
    read_detector(path);
  } catch (const Error& error) {
    message = error.what();
  }
  CAPTURE(message);
  CHECK(message.find("decoder.rnn.weight_hh") != std::string::npos);
  CHECK(message.find("more") != std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST_CASE("label files: each wrong line is named, WAV files without one are skipped") {
  const auto folder = new_folder("tapeloop_voice_labels");
  const std::string labels = (folder / "a.tsv").string();
  write_file((folder / "a.wav").string(), wav(1, 1, 16000, 16, std::string(2 * 600, '\0')));
  write_file((folder / "b.wav").string(), wav(1, 1, 16000, 16, std::string(2 * 600, '\0')));
  write_file(labels, "# head\n0\t0.5\n1\t1\n");
  const Recordings read = read_recordings(folder.string());
  REQUIRE(read.list.size() == 1);
  CHECK(read.list[0].labels == std::vector<float>{0.5f, 1.0f});
  REQUIRE(read.remarks.size() == 1);
  CHECK(read.remarks[0].find("b.wav: skipped, there is no ") != std::string::npos);
  CHECK(read_chunks(labels) == std::vector<float>{0.5f, 1.0f});
  for (const char* line : {"0", "0\t", "1\t0.5", "0\t1.5", "0\tnan", "0\t0.5\t2", "x\t0"}) {
    CAPTURE(line);
    write_file(labels, line);
    CHECK(throws_with([&] { read_chunks(labels); },
                      labels + ", line 1: \"" + common::printable(line) +
                          "\", expected the number of the chunk, 0, a tab and a probability from 0 "
                          "to 1"));
  }
  write_file(labels, "0\t1\n");
  CHECK(throws_with([&] { read_recordings(folder.string()); }, labels + ": has 1 lines, but " +
                                                                   (folder / "a.wav").string() +
                                                                   " has 2 chunks of 512 samples"));
  std::filesystem::remove_all(folder);
}

TEST_CASE("segments bridge short silence and leave out short sounds") {
  std::vector<float> p(60, 0.1f);
  std::fill_n(p.begin() + 5, 10, 0.9f);
  p[8] = p[9] = 0.2f;                    // a short silence
  std::fill_n(p.begin() + 30, 3, 0.9f);  // too short
  std::fill_n(p.begin() + 50, 10, 0.4f);
  p[50] = 0.6f;  // goes on above threshold - 0.15, to the end
  const std::vector<Segment> found = segments_of(p, 0.5);
  REQUIRE(found.size() == 2);
  CHECK(found[0].begin == 5);
  CHECK(found[0].end == 15);
  CHECK(found[1].begin == 50);
  CHECK(found[1].end == 60);
}

TEST_CASE("the threshold of the energy is the best one, and pieces cover recordings") {
  const Detector detector = small_detector();
  std::vector<float> samples(5 * kChunk);
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i] = i / kChunk % 2 == 1 ? 0.5f : 0.1f;
  const Pieces pieces(detector, {{samples, {0, 1, 0, 1, 0}}}, 2);
  CHECK(pieces.count() == 3);
  CHECK(pieces.right_by_energy(pieces.best_threshold()) == 1);
  CHECK(pieces.batch({2}).labels.to_vector<float>() == std::vector<float>{1, 0});
}

TEST_CASE("recordings to validate share no chunk with those to learn from") {
  const auto recording = [](float value, std::size_t chunks) {
    return Labelled{std::vector<float>(chunks * kChunk - 9, value),
                    std::vector<float>(chunks, value)};
  };
  std::vector<Labelled> one = {recording(0.5f, 11)};
  const std::vector<Labelled> part = hold_out(one);
  REQUIRE(part.size() == 1);
  CHECK(one[0].labels.size() == 9);
  CHECK(one[0].samples.size() == 9 * kChunk);
  CHECK(part[0].labels.size() == 2);
  CHECK(part[0].samples.size() == 2 * kChunk - 9);
  std::vector<Labelled> many;
  for (int i = 0; i < 11; ++i) many.push_back(recording(static_cast<float>(i) / 16, 1));
  const std::vector<Labelled> held = hold_out(many);
  REQUIRE(held.size() == 2);
  CHECK(held[0].labels[0] == 4.0f / 16);
  CHECK(held[1].labels[0] == 9.0f / 16);
  CHECK(many.size() == 9);
  std::vector<Labelled> short_one = {recording(0, 4)};
  CHECK(throws_with([&] { hold_out(short_one); },
                    "the only recording has 4 chunks, expected 5 or more to learn from and to "
                    "validate; add recordings, or name others by --test"));
}

TEST_CASE("truncated BPTT has the whole loss, and reaches every parameter") {
  const Detector detector = small_detector();
  Random random(3);
  const Pieces pieces(detector, {draw_signal(12, random)}, 6);
  const Batch batch = pieces.batch({0, 1});
  Tape tape;
  const Var loss = loss_of(detector, batch, 4);
  CHECK(std::abs(loss.item() - score_of(detector, batch).nats) < 1e-6);
  tape.backward(loss);
  for (const NamedVar& p : nn::parameters(detector)) {
    CAPTURE(p.name);
    REQUIRE(p.var.grad().defined());
    CHECK(norm(p.var.grad()).item() > 0);
  }
  CHECK(nn::parameters(detector).size() == 14);  // without the Fourier transform
}

TEST_CASE("Silero VAD's probabilities, in pieces of any length, without an allocation") {
  const char* other = std::getenv("TAPELOOP_VOICE");
  const std::string folder = other != nullptr ? other : "../shared/data/silero-vad";
  if (!std::filesystem::exists(folder)) {
    std::printf("SKIPPED: Silero VAD's weights: there is no folder %s\n", folder.c_str());
    return;
  }
  const Detector detector = read_detector(folder + "/silero_vad_16k.safetensors");
  const std::vector<float> samples = read_wav(folder + "/speech.wav").samples;
  const std::vector<float> expected = read_chunks(folder + "/speech.tsv");
  VoiceStream stream(detector);
  const std::vector<float> found = streamed(stream, samples, samples.size());
  REQUIRE(found.size() == expected.size());
  for (std::size_t t = 0; t < found.size(); ++t) {
    CAPTURE(t);
    CHECK(std::abs(found[t] - expected[t]) < 1e-4f);
  }
  for (const std::size_t piece : {160u, 441u, 4096u})
    CHECK(streamed(stream, samples, piece) == found);
  float sum = 0;
  const VoiceStream::Take take = [&sum](float p) { sum += p; };
  stream.reset();
  const std::int64_t before = test::allocations();
  stream.push(samples, take);
  const std::int64_t made = test::allocations() - before;
  if (test::can_count_allocations()) CHECK(made == 0);
}

}  // namespace
}  // namespace voice
