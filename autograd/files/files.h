// SPDX-License-Identifier: MIT
// Files in and out: a file that is replaced is always the old one or the new one, never half of it.
// It makes no folders and knows no file format.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tapeloop {

// A regular file, read from its start. Every problem is a FileError that names the file.
class InputFile {
 public:
  explicit InputFile(
      const std::string& path);  // throws: absent, unreadable, a folder, pipe or device
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  std::uint64_t size() const { return size_; }  // when it was opened
  // The next `bytes` bytes. Throws where the file ends before.
  void read(void* to, std::uint64_t bytes);

 private:
  std::string path_;
  int file_ = -1;
  std::uint64_t size_ = 0;
};

// Reads all bytes of a regular file. Throws FileError as InputFile does. Throws FileError with the
// file's size if the file has more than `most` bytes or does not fit into memory.
std::string read_file(const std::string& path, std::uint64_t most);

// A file in the making: written as PATH.partial beside its place, and renamed to PATH by commit() once the disk
// has it. Without commit(), or after an error, the partial file is removed and PATH is as it was.
// A link is followed; the permissions of a file that is replaced stay.
class NewFile {
 public:
  // `bytes`: the length it will have, for the message of a full disk. Throws FileError.
  NewFile(const std::string& path, std::uint64_t bytes);
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile();

  void write(std::string_view piece);  // throws FileError with the system's reason
  void commit();                       // throws FileError; a failed rename leaves the old file

 private:
  [[noreturn]] void fail_with(int error, const char* doing) const;
  std::string path_;
  std::string partial_;
  int file_ = -1;
  std::uint64_t bytes_;
  std::uint64_t written_ = 0;
};

// Replaces or makes a file out of pieces that follow one another. Throws FileError; the old file then stays.
void write_file(const std::string& path, std::span<const std::string_view> pieces);
void write_file(const std::string& path, std::string_view bytes);

}  // namespace tapeloop
