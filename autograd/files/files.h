// SPDX-License-Identifier: MIT
// Reads and writes files. A file that is replaced is always the old one or the new one, never a
// part of it. Makes no folders and knows no file format.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tapeloop {

// A regular file, read from its start. Throws FileError, which names the file, for every problem.
class InputFile {
 public:
  // Throws if the file is absent or unreadable, or is a folder, pipe or device.
  explicit InputFile(const std::string& path);
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  std::uint64_t size() const { return size_; }  // when it was opened
  // Reads the next `bytes` bytes. Throws if the file ends before.
  void read(void* to, std::uint64_t bytes);

 private:
  std::string path_;
  int file_ = -1;
  std::uint64_t size_ = 0;
};

// Reads all bytes of a regular file. Throws FileError as InputFile does. Throws FileError with the
// file's size if the file has more than `most` bytes or does not fit into memory.
std::string read_file(const std::string& path, std::uint64_t most);

// Writes a new file. The data go to PATH.partial in the same folder. commit() forces them to disk
// and renames the file to PATH. Without commit(), or after an error, the partial file is removed
// and PATH does not change. Follows a link. Keeps the permissions of a file that it replaces.
class NewFile {
 public:
  // `bytes`: the final length, for the message if the disk is full. Throws FileError.
  NewFile(const std::string& path, std::uint64_t bytes);
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile();

  void write(std::string_view piece);  // throws FileError with the system's reason
  void commit();                       // throws FileError; if the rename fails, the old file stays

 private:
  [[noreturn]] void fail_with(int error, const char* doing) const;
  std::string path_;
  std::string partial_;
  int file_ = -1;
  std::uint64_t bytes_;
  std::uint64_t written_ = 0;
};

// Writes the pieces one after another to a new file, or replaces a file. If it throws FileError,
// the old file stays.
void write_file(const std::string& path, std::span<const std::string_view> pieces);
void write_file(const std::string& path, std::string_view bytes);

}  // namespace tapeloop
