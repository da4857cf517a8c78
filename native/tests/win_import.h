/* win_import.h: test programs that stand in for functions of Windows.
 *
 * The linker looks for the address of an imported function in a variable called
 * __imp_NAME; a program that defines it has every call of that function in the library come
 * to itself.  (The library's own calls too: there is nothing else in the .exe.) */
#ifndef QX_WIN_IMPORT_H
#define QX_WIN_IMPORT_H

#define WIN_IMPORT(name, function)                                                           \
	extern void *const __imp_##name;                                                     \
	void *const __imp_##name = (void *)(function)

#endif
