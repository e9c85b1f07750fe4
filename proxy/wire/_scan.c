/* One pass over the head of a request, for the compiled wheel: see request_head.py.

   It takes only the plainest of heads and says where what matters in them is. Whatever else comes
   gets None, and is read in Python, which stays the one truth: tests/wire/test_scanned_head.py
   holds what is taken here to what is read there. No kind of any name is known here either; they
   are asked of Python, once each, and kept.

   Bytes are read between `at` and `limit` only, whatever is in them. Nothing here is called
   without the GIL, nor does anything but `kind_of` run Python. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__ /* as on any x86-64 */
#include <emmintrin.h>
#endif

/* As in field_line.py. */
enum { PLAIN = 0, ACCEPT = 1, ACCEPT_LANGUAGE = 2, HOST = 5, CONTENT_LENGTH = 6, FORWARDED = 8,
       STAYS = 12, CONNECTION = 15 };

enum { MOST_FIELDS = 100, LONGEST_NAME = 64, LONGEST_VALUE = 255, MOST_DIGITS = 18,
       PLACES = 256 };

/* What may stand in a target, 1: VCHAR but for the `#` of a fragment; in a value, 2: VCHAR, SP and
   HTAB; in a host's name, 4: of RFC 3986's reg-name what DNS has, and `_`. */
static unsigned char may[256];

typedef struct { PyObject *name; int kind; } Name;

typedef struct {
    PyObject_HEAD
    PyObject *kind_of;
    PyObject *methods[6];
    /* By hash: the two latest names, with their kinds; the latest value, since the same object
       knows its hash, and is equal at once. */
    Name names[PLACES][2];
    PyObject *values[PLACES];
} Scanner;

typedef struct { const char *start; Py_ssize_t size; } Span;

static const Span METHODS[6] = {
    {"GET", 3}, {"HEAD", 4}, {"POST", 4}, {"PUT", 3}, {"PATCH", 5}, {"DELETE", 6}};

static inline int is(PyObject *known, const char *start, Py_ssize_t size)
{
    return known != NULL && PyBytes_GET_SIZE(known) == size
        && memcmp(PyBytes_AS_STRING(known), start, (size_t)size) == 0;
}

/* One of the PLACES, by the size, and the bytes at both ends and in the middle: what is alike there
   shares a place, and is told apart by `is`. */
static inline unsigned place_of(const char *start, Py_ssize_t size)
{
    const uint64_t odd = 0x9E3779B97F4A7C15u;
    uint64_t first = 0, middle = 0, last = 0;
    if (size >= 8) {
        memcpy(&first, start, 8);
        memcpy(&middle, start + size / 2 - 4, 8);
        memcpy(&last, start + size - 8, 8);
    } else {
        for (Py_ssize_t at = 0; at < size; at++)
            first = first << 8 | (unsigned char)start[at];
    }
    uint64_t hash = ((first ^ (uint64_t)size) * odd ^ middle) * odd;
    return (unsigned)(((hash ^ hash >> 32 ^ last) * odd) >> 56);
}

/* The kind of a name, below 0 if it is none; -2 with an exception set. */
static int kind(Scanner *self, const char *start, Py_ssize_t size)
{
    Name *known = self->names[place_of(start, size)];
    for (int each = 0; each < 2; each++) {
        if (is(known[each].name, start, size))
            return known[each].kind;
    }
    PyObject *name = PyBytes_FromStringAndSize(start, size);
    if (name == NULL)
        return -2;
    PyObject *answer = PyObject_CallOneArg(self->kind_of, name);
    long found = answer == NULL ? -1 : PyLong_AsLong(answer);
    Py_XDECREF(answer);
    if (found == -1 && PyErr_Occurred()) {
        Py_DECREF(name);
        return -2;
    }
    if (found < 0) {
        Py_DECREF(name);
        return -1;
    }
    Py_XDECREF(known[1].name); /* runs no code: it is bytes */
    known[1] = known[0];
    known[0] = (Name){name, (int)found};
    return (int)found;
}

/* A value as an object: the same as the last time, where that is known. None for no span. */
static PyObject *value(Scanner *self, Span span)
{
    if (span.start == NULL)
        return Py_NewRef(Py_None);
    if (span.size > LONGEST_VALUE)
        return PyBytes_FromStringAndSize(span.start, span.size);
    PyObject **known = &self->values[place_of(span.start, span.size)];
    if (!is(*known, span.start, span.size)) {
        PyObject *made = PyBytes_FromStringAndSize(span.start, span.size);
        if (made == NULL)
            return NULL;
        Py_XSETREF(*known, made);
    }
    return Py_NewRef(*known);
}

/* Where the first colon is, in what may be a name and more; NULL without one. */
static inline const char *colon(const char *at, const char *limit)
{
#ifdef __SSE2__
    if (limit - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)at);
        int found = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(':')));
        if (found)
            return at + __builtin_ctz((unsigned)found);
    }
#endif
    return memchr(at, ':', (size_t)Py_MIN(limit - at, LONGEST_NAME + 1));
}

/* Where the run of bytes that may stand in a value ends. */
static inline const char *text_end(const char *at, const char *limit)
{
#ifdef __SSE2__
    for (; limit - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)at);
        /* Signed, so that bytes above DEL are below SP as well. */
        __m128i below = _mm_cmplt_epi8(bytes, _mm_set1_epi8(' '));
        __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
        __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7F));
        int others = _mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, below), del));
        if (others)
            return at + __builtin_ctz((unsigned)others);
    }
#else
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    for (uint64_t word; limit - at >= 8; at += 8) {
        memcpy(&word, at, 8);
        /* Set where a byte is below SP, DEL or above; further up for nothing, but never not. */
        if (((word - 0x20 * ones) | (word + ones) | word) & high)
            break;
    }
#endif
    while (at < limit && may[(unsigned char)*at] & 2)
        at++;
    return at;
}

/* Whether it is a name or IPv4 address with no port, or one up to 65535. */
static int is_plain_host(Span host)
{
    const char *at = host.start, *limit = at + host.size;
    while (at < limit && may[(unsigned char)*at] & 4)
        at++;
    if (at == limit)
        return 1;
    if (*at != ':' || limit - at > 6)
        return 0;
    long port = 0;
    while (++at < limit) {
        if (*at < '0' || *at > '9')
            return 0;
        port = port * 10 + (*at - '0');
    }
    return port <= 65535;
}

/* Whether `value` is `word`, which is in lower case and has but letters and hyphens. */
static int is_option(Span value, const char *word, Py_ssize_t size)
{
    if (value.size != size)
        return 0;
    for (Py_ssize_t place = 0; place < size; place++) {
        char byte = value.start[place];
        if ((byte >= 'A' && byte <= 'Z' ? byte + 32 : byte) != word[place])
            return 0;
    }
    return 1;
}

/* A length of few enough digits, else -1. */
static long long digits(Span value)
{
    long long length = 0;
    if (value.size > MOST_DIGITS)
        return -1;
    for (Py_ssize_t place = 0; place < value.size; place++) {
        char byte = value.start[place];
        if (byte < '0' || byte > '9')
            return -1;
        length = length * 10 + (byte - '0');
    }
    return length;
}

PyDoc_STRVAR(read_doc, "What a plain head at the beginning of data says; None for any other.");

static PyObject *scanner_read(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    Scanner *self = (Scanner *)object;
    if (count != 2 || !PyBytes_CheckExact(args[0]))
        return PyErr_Format(PyExc_TypeError, "read(data: bytes, max_bytes: int)");
    Py_ssize_t most = PyLong_AsSsize_t(args[1]);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    const char *data = PyBytes_AS_STRING(args[0]), *at = data;
    const char *limit = data + Py_MIN(PyBytes_GET_SIZE(args[0]), Py_MAX(most, 0));
    Span target, path, query = {"", 0}, host = {NULL, 0}, accept = {NULL, 0}, accept_language = {NULL, 0};
    PyObject *method = NULL;
    for (int each = 0; each < 6 && method == NULL; each++) {
        Py_ssize_t size = METHODS[each].size;
        if (limit - at > size && at[size] == ' ' && !memcmp(at, METHODS[each].start, (size_t)size)) {
            method = self->methods[each];
            at += size + 1;
        }
    }
    if (method == NULL || at == limit || *at != '/')
        Py_RETURN_NONE;
    target.start = at;
    while (at < limit && may[(unsigned char)*at] & 1)
        at++;
    target.size = at - target.start;
    path = target;
    const char *mark = memchr(target.start, '?', (size_t)target.size);
    if (mark != NULL) {
        path.size = mark - target.start;
        query = (Span){mark + 1, at - mark - 1};
    }
    if (limit - at < 11 || memcmp(at, " HTTP/1.1\r\n", 11))
        Py_RETURN_NONE;
    at += 11;

    long long length = -1;
    int connection = 0;
    /* What does not go on from everybody, if it is one run of lines; -1 if it is several. */
    Py_ssize_t left_out = 0, left_out_end = 0;
    for (int fields = 0; limit - at >= 2 && !(at[0] == '\r' && at[1] == '\n'); fields++) {
        const char *name = at;
        at = colon(name, limit);
        if (fields == MOST_FIELDS || at == NULL || limit - at < 2 || at[1] != ' ')
            Py_RETURN_NONE;
        int known = kind(self, name, at - name);
        if (known < 0)
            return known == -2 ? NULL : Py_NewRef(Py_None);
        Span text = {at + 2, 0};
        at = text_end(text.start, limit);
        text.size = at - text.start;
        /* One space before the value and none around it, nor HTAB: as it goes on. Without a value
           it begins with the CR. */
        if (limit - at < 2 || at[0] != '\r' || at[1] != '\n' || text.start[0] <= ' '
            || at[-1] <= ' ')
            Py_RETURN_NONE;
        at += 2;
        if (known == PLAIN)
            continue;
        if (known == ACCEPT) {
            if (accept.start == NULL)
                accept = text;
        } else if (known == ACCEPT_LANGUAGE) {
            if (accept_language.start == NULL)
                accept_language = text;
        } else if (known == HOST) {
            if (host.start != NULL || !is_plain_host(text))
                Py_RETURN_NONE;
            host = text;
        } else if (known == CONTENT_LENGTH) {
            if (length >= 0 || (length = digits(text)) < 0)
                Py_RETURN_NONE;
        } else if (known == CONNECTION) {
            if (connection)
                Py_RETURN_NONE;
            connection = is_option(text, "keep-alive", 10) ? 1 : is_option(text, "close", 5) ? 2 : 0;
            if (!connection)
                Py_RETURN_NONE;
        } else if (known > CONTENT_LENGTH && (known < FORWARDED || known > STAYS))
            Py_RETURN_NONE;
        if (known >= FORWARDED) {
            if (left_out_end == 0)
                left_out = name - data;
            else if (left_out_end != name - data)
                left_out = -1;
            left_out_end = at - data;
        }
    }
    if (limit - at < 2 || host.start == NULL)
        Py_RETURN_NONE;

    Py_ssize_t size = at + 2 - data;
    PyObject *items[] = {
        size == PyBytes_GET_SIZE(args[0]) ? Py_NewRef(args[0])
                                          : PyBytes_FromStringAndSize(data, size),
        Py_NewRef(method),
        PyBytes_FromStringAndSize(target.start, target.size),
        value(self, path),
        PyBytes_FromStringAndSize(query.start, query.size),
        value(self, host),
        value(self, accept),
        value(self, accept_language),
        PyLong_FromLongLong(length),
        PyLong_FromLong(connection),
        PyLong_FromSsize_t(left_out),
        PyLong_FromSsize_t(left_out_end),
    };
    PyObject *found = PyTuple_New(12);
    for (int each = 0; each < 12; each++) {
        if (items[each] == NULL)
            Py_CLEAR(found);
    }
    for (int each = 0; each < 12; each++) {
        if (found != NULL)
            PyTuple_SET_ITEM(found, each, items[each]);
        else
            Py_XDECREF(items[each]);
    }
    return found;
}

static PyObject *scanner_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named))
{
    PyObject *kind_of;
    if (!PyArg_ParseTuple(args, "O:Scanner", &kind_of))
        return NULL;
    Scanner *self = (Scanner *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->kind_of = Py_NewRef(kind_of);
    for (int each = 0; each < 6; each++) {
        self->methods[each] = PyBytes_FromStringAndSize(METHODS[each].start, METHODS[each].size);
        if (self->methods[each] == NULL) {
            Py_DECREF(self);
            return NULL;
        }
    }
    return (PyObject *)self;
}

static void scanner_dealloc(PyObject *object)
{
    Scanner *self = (Scanner *)object;
    Py_XDECREF(self->kind_of);
    for (int each = 0; each < 6; each++)
        Py_XDECREF(self->methods[each]);
    for (int each = 0; each < PLACES; each++) {
        Py_XDECREF(self->names[each][0].name);
        Py_XDECREF(self->names[each][1].name);
    }
    for (int each = 0; each < PLACES; each++)
        Py_XDECREF(self->values[each]);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef scanner_methods[] = {
    {"read", (PyCFunction)(void (*)(void))scanner_read, METH_FASTCALL, read_doc},
    {NULL, NULL, 0, NULL}};

static PyTypeObject ScannerType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "proxy.wire._scan.Scanner",
    .tp_doc = "Reads plain heads; kind_of(name) says what a name is, below 0 for none.",
    .tp_basicsize = sizeof(Scanner),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = scanner_new,
    .tp_dealloc = scanner_dealloc,
    .tp_methods = scanner_methods,
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_scan", .m_size = -1};

PyMODINIT_FUNC PyInit__scan(void)
{
    for (int byte = 0x20; byte < 0x7F; byte++)
        may[byte] = (unsigned char)((byte != ' ' && byte != '#' ? 1 : 0) | 2);
    may['\t'] = 2;
    const char *name = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    for (; *name; name++)
        may[(unsigned char)*name] |= 4;
    PyObject *made = PyModule_Create(&module);
    if (made != NULL && PyModule_AddType(made, &ScannerType) < 0)
        Py_CLEAR(made);
    return made;
}
