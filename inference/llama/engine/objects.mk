# Compiles llama.cpp's server and tools against its prebuilt libraries.
# Run by build.sh, which sets SRC (the source tree), LIB (the prebuilt
# libraries), OBJ (where objects go) and OUT (where programs go).
# What is in this file is part of the key that objects are cached under.

here     := $(dir $(lastword $(MAKEFILE_LIST)))
CXX      ?= g++
CC       ?= gcc
INCLUDES := -I$(here) -I$(SRC) -I$(SRC)/include -I$(SRC)/ggml/include -I$(SRC)/common \
            -I$(SRC)/vendor -I$(SRC)/vendor/hash -I$(SRC)/tools/mtmd -I$(SRC)/tools/server
DEFINES  := -DNDEBUG -D_GNU_SOURCE -DLLAMA_SHARED -DGGML_SHARED -DGGML_BACKEND_SHARED -DLLAMA_SUBPROCESS \
            -DCPPHTTPLIB_FORM_URL_ENCODED_PAYLOAD_MAX_LENGTH=1048576 -DCPPHTTPLIB_LISTEN_BACKLOG=512 \
            -DCPPHTTPLIB_REQUEST_URI_MAX_LENGTH=32768 -DCPPHTTPLIB_TCP_NODELAY=1
# The arithmetic is in the prebuilt libraries; what is compiled here reads JSON
# and moves tokens, and -O1 halves the wait.
CXXFLAGS := -std=c++17 -O1 -w -pthread -fPIE
LDFLAGS  := -pthread -pie -L$(LIB) -Wl,-rpath,'$$ORIGIN' -Wl,--disable-new-dtags -Wl,--as-needed -Wl,-z,relro,-z,now
LDLIBS   := -lllama-common -l:libllama.v0.5.0.so -l:libggml.v0.5.0.so -lggml-base -lm

# The slowest first, so that the last core to finish does not finish alone.
slow     := tools/server/server-context.cpp tools/server/server-models.cpp tools/server/server-task.cpp \
            tools/server/server-common.cpp vendor/cpp-httplib/httplib.cpp tools/server/server-chat.cpp
sources  := $(patsubst $(SRC)/%,%,$(wildcard $(SRC)/tools/server/*.cpp $(SRC)/tools/mtmd/models/*.cpp \
              $(filter-out %/mtmd-cli.cpp %/deprecation-warning.cpp,$(wildcard $(SRC)/tools/mtmd/*.cpp)) \
              $(SRC)/vendor/cpp-httplib/*.cpp $(SRC)/vendor/hash/*.cpp))
sources  := $(slow) $(filter-out $(slow),$(sources)) \
            vendor/hash/sha1/sha1.c vendor/hash/sha256/sha256.c vendor/hash/xxhash/xxhash.c
server   := $(patsubst %,$(OBJ)/%.o,$(sources))
tools    := llama-bench llama-quantize llama-imatrix llama-perplexity

.PHONY: server tools
.DELETE_ON_ERROR:
server: $(OUT)/rxedge-llama
tools: $(addprefix $(OUT)/,$(tools))

progress = @mkdir -p $(@D) && printf '  [%2d/%d] %s\n' \
           "$$(( $$(find $(OBJ) -name '*.o' | wc -l) + 1 ))" $(words $(server)) $(1)

$(OUT)/rxedge-llama: $(server)
	@echo '  link rxedge-llama'
	@$(CXX) -o $@ $^ $(LDFLAGS) $(LDLIBS)

$(OBJ)/%.cpp.o: $(SRC)/%.cpp
	$(call progress,$*.cpp)
	@$(CXX) $(CXXFLAGS) $(DEFINES) $(INCLUDES) -c $< -o $@.part && mv $@.part $@

# sha1 stands in a C++ namespace, the other two are C.
$(OBJ)/vendor/hash/sha1/sha1.c.o: $(SRC)/vendor/hash/sha1/sha1.c
	$(call progress,vendor/hash/sha1/sha1.c)
	@$(CXX) -x c++ $(CXXFLAGS) $(DEFINES) $(INCLUDES) -c $< -o $@.part && mv $@.part $@

$(OBJ)/%.c.o: $(SRC)/%.c
	$(call progress,$*.c)
	@$(CC) -O2 -w -fPIE $(DEFINES) $(INCLUDES) -c $< -o $@.part && mv $@.part $@

# A tool is one or two files: tools/NAME/*.cpp.
$(OUT)/llama-%:
	@echo '  compile and link $(@F)'
	@$(CXX) $(CXXFLAGS) $(DEFINES) $(INCLUDES) -o $@ \
	  $(wildcard $(SRC)/tools/$*/*.cpp) $(wildcard $(SRC)/tools/llama-$*/*.cpp) $(LDFLAGS) $(LDLIBS)
