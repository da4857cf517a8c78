# XDP for Windows: its simulator and the programs over it; part of windows.mk.

SIM      := $(wildcard sim_windows/*.c)
SIM_OBJ  := $(SIM:%.c=$(B)/%.o)
OVER_SIM := $(patsubst tests/%.c,$(B)/%.exe,$(filter-out %_engine.c,\
            $(wildcard tests/test_winxdp*.c)))
TESTS    += $(B)/contract_winxdp.exe $(OVER_SIM) $(B)/test_winxdp_engine.exe

$(SIM_OBJ): $(B)/%.o: %.c $(HEADERS) $(wildcard sim_windows/*.h)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Isim_windows -c -o $@ $<

$(B)/contract_winxdp.exe: tests/contract_winxdp.c tests/contract.c $(SIM_OBJ) \
    $(B)/libquicxdp.a $(HEADERS)
	$(CC) $(CFLAGS) -Isim_windows -o $@ $< tests/contract.c tests/platform_win.c $(SIM_OBJ) \
	  $(B)/libquicxdp.a $(LIBS)

# For a Windows machine with the driver.
all: $(B)/try_winxdp.exe
$(B)/try_winxdp.exe: tests/try_winxdp.c tests/contract.c $(SIM_OBJ) $(B)/libquicxdp.a $(HEADERS)
	$(CC) $(CFLAGS) -Isim_windows -o $@ $< tests/contract.c tests/platform_win.c $(SIM_OBJ) \
	  $(B)/libquicxdp.a $(LIBS)

$(OVER_SIM): $(B)/%.exe: tests/%.c $(SIM_OBJ) $(B)/libquicxdp.a $(HEADERS)
	$(CC) $(CFLAGS) -Isim_windows -o $@ $< $(SIM_OBJ) $(B)/libquicxdp.a $(LIBS)

# The engine, without the encryption of a libcrypto; tests/protect_null.c says more.
$(B)/test_winxdp_engine.exe: tests/test_winxdp_engine.c tests/protect_null.c $(SIM_OBJ) \
    $(B)/libquicxdp.a $(HEADERS)
	$(CC) $(CFLAGS) -Isim_windows -o $@ $< tests/protect_null.c $(SIM_OBJ) \
	  $(B)/libquicxdp.a $(LIBS)
