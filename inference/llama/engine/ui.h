// Stands in for the header that llama.cpp's build generates for its web pages.
// rxedge has its own pages, so the engine carries none.
#pragma once
#include <array>
#include <cstddef>
#include <string>

struct llama_ui_asset { std::string name; const unsigned char * data; std::size_t size; std::string etag, type; };
inline const std::array<llama_ui_asset, 0> & llama_ui_get_assets() { static const std::array<llama_ui_asset, 0> none{}; return none; }
