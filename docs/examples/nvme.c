// SPDX-License-Identifier: Apache-2.0
//
// A vfio-user device server that knows nothing of Ioasis: an NVM Express controller (1.4) with one
// disk, a file. It reaches memory by messages alone (DMA_READ, DMA_WRITE), over a socket pair of
// its own that it hands to the client (twin_socket).
//
//   cc -o nvme nvme.c && ./nvme device.sock disk.img
//
// One client after the other, one thread. What a client sends is its own risk; what it is told to
// read and write of the file is checked.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { VERSION = 1, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION_INFO, GET_IRQ_INFO = 7, SET_IRQS,
       REGION_READ, REGION_WRITE, DMA_READ, DMA_WRITE, RESET };
enum { REPLY = 1, NO_REPLY = 0x10, ERROR = 0x20 };
enum { BAR_BYTES = 0x4000, DOORBELLS = 0x1000, MSIX_TABLE = 0x2000, MSIX_PBA = 0x3000 };
enum { CC = 0x14, CSTS = 0x1c, AQA = 0x24, ASQ = 0x28, ACQ = 0x30 };
enum { VECTORS = 5, QUEUES = 5, ENTRIES = 256, PAGE = 4096, MDTS = 5, SECTOR = 512, CONFIG_REGION = 7, MSIX = 2 };
enum { OK = 0, INVALID_OPCODE = 1, INVALID_FIELD = 2, TRANSFER_ERROR = 4, LBA_RANGE = 0x80, INVALID_QUEUE = 0x101 };

struct header { uint16_t id, command; uint32_t size, flags, error; };
struct access { uint64_t offset; uint32_t region, count; };
struct dma { uint64_t address, count; };
struct sqe { uint8_t opcode, flags; uint16_t id; uint32_t nsid; uint64_t r[2], prp1, prp2; uint32_t c10, c11, c12, c13, c14, c15; };
struct cqe { uint32_t result, r; uint16_t head, queue, id, status; };
struct queue { uint64_t base; uint32_t size, head, tail, phase, cq, vector; };

static int client = -1, twin = -1, disk = -1, vectors[VECTORS];
static uint64_t sectors;
static uint8_t config[256], bar[BAR_BYTES], message[1 << 20], data[PAGE << MDTS];
static struct queue sq[QUEUES], cq[QUEUES];
static size_t most = PAGE; // bytes of one access to memory: what the client takes
static uint16_t next_id;

static uint32_t get32(const uint8_t *at) { uint32_t v; memcpy(&v, at, 4); return v; }
static uint64_t get64(const uint8_t *at) { uint64_t v; memcpy(&v, at, 8); return v; }
static void put32(uint8_t *at, uint32_t v) { memcpy(at, &v, 4); }
static void put64(uint8_t *at, uint64_t v) { memcpy(at, &v, 8); }

static int read_all(int fd, void *to, size_t n)
{
    for (size_t have = 0; have < n;) {
        ssize_t got = read(fd, (char *)to + have, n - have);
        if (got <= 0)
            return -1;
        have += got;
    }
    return 0;
}

static int write_all(int fd, const void *from, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t put = write(fd, (const char *)from + done, n - done);
        if (put <= 0)
            return -1;
        done += put;
    }
    return 0;
}

// Memory, by messages.

static int ask(int command, uint64_t address, const void *from, size_t n)
{
    size_t payload = command == DMA_WRITE ? n : 0;
    struct header h = { next_id++, command, sizeof h + sizeof(struct dma) + payload, 0, 0 };
    struct dma d = { address, n };
    if (write_all(twin, &h, sizeof h) || write_all(twin, &d, sizeof d))
        return -1;
    return payload ? write_all(twin, from, payload) : 0;
}

static int answer(int command, uint64_t address, void *to, size_t n)
{
    struct header h;
    struct dma d;
    if (read_all(twin, &h, sizeof h))
        return -1;
    if (h.flags & ERROR)
        return 1;
    if (h.command != command || h.size != sizeof h + sizeof d + (command == DMA_READ ? n : 0))
        return -1;
    if (read_all(twin, &d, sizeof d) || d.address != address)
        return -1;
    return command == DMA_READ ? read_all(twin, to, n) : 0;
}

// All of it is asked for before the first answer is waited for.
static int copy(int command, uint64_t address, void *bytes, size_t n)
{
    int result = 0;
    for (size_t at = 0; at < n; at += most)
        if (ask(command, address + at, (char *)bytes + at, n - at < most ? n - at : most))
            return -1;
    for (size_t at = 0; at < n; at += most) {
        int one = answer(command, address + at, (char *)bytes + at, n - at < most ? n - at : most);
        if (one < 0)
            return -1;
        result |= one;
    }
    return result;
}

// What PRP entries lead to (NVM Express 1.4, 4.3).
static int transfer(int command, const struct sqe *c, uint8_t *bytes, size_t n)
{
    uint64_t pages[1 + (1 << MDTS)], entry;
    size_t sizes[1 + (1 << MDTS)];
    int count = 0, result = 0;
    uint64_t list = c->prp2;
    size_t first = PAGE - c->prp1 % PAGE, left = n;
    for (entry = c->prp1;;) {
        size_t part = count ? PAGE : first;
        pages[count] = entry;
        sizes[count] = part < left ? part : left;
        left -= sizes[count++];
        if (!left)
            break;
        if (count == 1 && left <= PAGE) {
            entry = c->prp2;
            continue;
        }
        if (copy(DMA_READ, list, &entry, 8))
            return -1;
        if (list % PAGE == PAGE - 8 && left > PAGE) { // the last of a page leads to the next
            list = entry;
            if (copy(DMA_READ, list, &entry, 8))
                return -1;
        }
        list += 8;
    }
    for (int i = 0, at = 0; i < count; at += sizes[i++])
        if (ask(command, pages[i], bytes + at, sizes[i]))
            return -1;
    for (int i = 0, at = 0; i < count; at += sizes[i++]) {
        int one = answer(command, pages[i], bytes + at, sizes[i]);
        if (one < 0)
            return -1;
        result |= one;
    }
    return result;
}

static int give(const struct sqe *c, size_t n)
{
    return transfer(DMA_WRITE, c, data, n) ? TRANSFER_ERROR : OK;
}

// Commands.

static int identify(const struct sqe *c)
{
    memset(data, 0, PAGE);
    switch (c->c10 & 0xff) {
    case 0: // a namespace
        if (c->nsid != 1)
            break;
        for (int i = 0; i < 3; i++)
            put64(data + 8 * i, sectors);
        data[130] = 9; // sectors of 512 bytes
        break;
    case 1: // the controller
        memcpy(data, config, 4);
        memset(data + 4, ' ', 68);
        memcpy(data + 4, "1", 1);
        memcpy(data + 24, "a device of somebody else's", 27);
        memcpy(data + 64, "1", 1);
        data[77] = MDTS;
        put32(data + 80, 0x10400);
        data[111] = 1; // it does I/O
        data[258] = data[259] = 3;
        data[512] = 0x66;
        data[513] = 0x44;
        data[516] = 1; // one namespace
        data[525] = 1; // writes are cached until a flush
        strcpy((char *)data + 768, "nqn.2014-08.org.example:somebody-elses");
        break;
    case 2: // namespaces
        if (c->nsid == 0)
            data[0] = 1;
        break;
    case 3: // what a namespace is told by
        data[0] = 3;
        data[1] = 16;
        memset(data + 4, 0x5a, 16);
        break;
    default:
        return INVALID_FIELD;
    }
    return give(c, PAGE);
}

static int create(const struct sqe *c, int is_cq)
{
    uint32_t id = c->c10 & 0xffff, size = (c->c10 >> 16) + 1, target = c->c11 >> 16;
    struct queue *q = is_cq ? &cq[id] : &sq[id];
    if (id == 0 || id >= QUEUES || size < 2 || size > ENTRIES || !(c->c11 & 1) || c->prp1 % PAGE)
        return INVALID_QUEUE;
    if (q->size || (is_cq ? target >= VECTORS : target >= QUEUES || !cq[target].size))
        return INVALID_QUEUE;
    *q = (struct queue){ .base = c->prp1, .size = size, .phase = 1, .cq = target, .vector = target };
    return OK;
}

static int delete(const struct sqe *c, struct queue *queues)
{
    uint32_t id = c->c10 & 0xffff;
    if (id == 0 || id >= QUEUES || !queues[id].size)
        return INVALID_QUEUE;
    queues[id].size = 0;
    return OK;
}

// Returns a status, or -1 for no answer now.
static int admin(const struct sqe *c, uint32_t *result)
{
    switch (c->opcode) {
    case 0x00: return delete(c, sq);
    case 0x01: return create(c, 0);
    case 0x02: { // a log page: nothing has happened
        size_t n = (((size_t)c->c10 >> 16) + 1) * 4;
        memset(data, 0, PAGE);
        return n > PAGE ? INVALID_FIELD : give(c, n);
    }
    case 0x04: return delete(c, cq);
    case 0x05: return create(c, 1);
    case 0x06: return identify(c);
    case 0x08: *result = 1; return OK; // nothing is aborted
    case 0x09: // features: as many queues as there are
        if ((c->c10 & 0xff) != 7)
            return INVALID_FIELD;
        *result = (QUEUES - 2) << 16 | (QUEUES - 2);
        return OK;
    case 0x0a: return (c->c10 & 0xff) == 6 ? OK : INVALID_FIELD;
    case 0x0c: return -1; // there are no events
    default: return INVALID_OPCODE;
    }
}

static int io(const struct sqe *c)
{
    uint64_t first = c->c10 | (uint64_t)c->c11 << 32, count = (c->c12 & 0xffff) + 1;
    size_t n = count * SECTOR;
    if (c->opcode == 0)
        return fdatasync(disk) ? TRANSFER_ERROR : OK;
    if (c->opcode != 1 && c->opcode != 2)
        return INVALID_OPCODE;
    if (c->nsid != 1 || n > sizeof data)
        return INVALID_FIELD;
    if (first > sectors || count > sectors - first)
        return LBA_RANGE;
    if (c->opcode == 1)
        return transfer(DMA_READ, c, data, n) || pwrite(disk, data, n, first * SECTOR) != (ssize_t)n
                ? TRANSFER_ERROR : OK;
    if (pread(disk, data, n, first * SECTOR) != (ssize_t)n)
        return TRANSFER_ERROR;
    return give(c, n);
}

static void fatal(void) { bar[CSTS] |= 2; }

static void complete(struct queue *q, const struct sqe *c, uint32_t id, uint32_t result, int status)
{
    struct queue *to = &cq[q->cq];
    struct cqe e = { result, 0, q->head, id, c->id, status << 1 | to->phase };
    if (!to->size || copy(DMA_WRITE, to->base + to->tail * sizeof e, &e, sizeof e)) {
        fatal();
        return;
    }
    if (++to->tail == to->size) {
        to->tail = 0;
        to->phase ^= 1;
    }
    uint64_t one = 1;
    if (vectors[to->vector] >= 0 && write(vectors[to->vector], &one, 8) != 8)
        fatal();
}

static void doorbell(uint32_t at, uint32_t value)
{
    uint32_t id = at / 8;
    if (id >= QUEUES || at % 8 == 4) // where the driver is in a completion queue is its affair
        return;
    struct queue *q = &sq[id];
    if (value >= q->size)
        return;
    for (q->tail = value; q->head != q->tail && !(bar[CSTS] & 2);) {
        struct sqe c[16];
        uint32_t n = (q->tail > q->head ? q->tail : q->size) - q->head;
        n = n > 16 ? 16 : n;
        if (copy(DMA_READ, q->base + q->head * sizeof *c, c, n * sizeof *c)) {
            fatal();
            return;
        }
        for (uint32_t i = 0; i < n; i++) {
            uint32_t result = 0;
            int status = id ? io(&c[i]) : admin(&c[i], &result);
            q->head = (q->head + 1) % q->size;
            if (status >= 0)
                complete(q, &c[i], id, result, status);
        }
    }
}

// Registers.

static void reset(void)
{
    memset(bar, 0, sizeof bar);
    memset(sq, 0, sizeof sq);
    memset(cq, 0, sizeof cq);
    // 256 entries, contiguous; ready within 5 s; the NVM command set.
    put64(bar, (ENTRIES - 1) | 1 << 16 | 0x0aULL << 24 | 1ULL << 37);
    put32(bar + 8, 0x10400);
    config[4] = config[5] = 0;
}

static void bar_write(uint32_t at, const uint8_t *from, uint32_t n)
{
    if (at >= DOORBELLS && at < MSIX_TABLE && n == 4) {
        doorbell(at - DOORBELLS, get32(from));
        return;
    }
    if (!(at == CC && n == 4) && !(at >= AQA && at + n <= ACQ + 8))
        return;
    memcpy(bar + at, from, n);
    if (at != CC)
        return;
    uint32_t cc = get32(bar + CC);
    if (!(cc & 1)) {
        memset(sq, 0, sizeof sq);
        memset(cq, 0, sizeof cq);
        put32(bar + CSTS, 0);
    } else if (!(bar[CSTS] & 1)) {
        uint32_t aqa = get32(bar + AQA);
        sq[0] = (struct queue){ .base = get64(bar + ASQ), .size = (aqa & 0xfff) + 1 };
        cq[0] = (struct queue){ .base = get64(bar + ACQ), .size = (aqa >> 16 & 0xfff) + 1, .phase = 1 };
        put32(bar + CSTS, 1);
    }
    if (cc >> 14 & 3) {
        fdatasync(disk);
        bar[CSTS] |= 2 << 2;
    }
}

static void config_write(uint32_t at, const uint8_t *from, uint32_t n)
{
    for (uint32_t i = at; i < at + n; i++) {
        uint8_t mask = i == 4 ? 6 : i == 5 ? 4 : i == 0x11 ? 0xc0 : i == 0x12 || i == 0x13 || i == 0x3c ? 0xff
                : i == 0x43 ? 0xc0 : 0;
        config[i] = (config[i] & ~mask) | (from[i - at] & mask);
    }
}

// Messages.

static int send_reply(struct header *h, const void *payload, size_t n, int error, int fd)
{
    if (h->flags & NO_REPLY)
        return 0;
    struct header r = { h->id, h->command, sizeof r + (error ? 0 : n), REPLY | (error ? ERROR : 0), error };
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec parts[2] = { { &r, sizeof r }, { (void *)payload, error ? 0 : n } };
    struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };
    if (fd >= 0) {
        m.msg_control = control;
        m.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    return sendmsg(client, &m, MSG_NOSIGNAL) == (ssize_t)r.size ? 0 : -1;
}

static int version(struct header *h)
{
    const char *text = (const char *)message + 4, *size = strstr(text, "\"max_data_xfer_size\":");
    char reply[160] = { 0 };
    int pair[2];
    if (!strstr(text, "twin_socket")) {
        fprintf(stderr, "the client has no twin_socket\n");
        return -1;
    }
    size_t bytes = size ? strtoul(size + 21, NULL, 10) : 1 << 20;
    most = bytes < PAGE ? PAGE : bytes > sizeof data ? sizeof data : bytes;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return -1;
    int n = 4 + 1 + snprintf(reply + 4, sizeof reply - 4,
            "{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":4096,"
            "\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}");
    twin = pair[0];
    int result = send_reply(h, reply, n, 0, pair[1]);
    close(pair[1]);
    return result;
}

static int region_access(struct header *h, size_t n)
{
    struct access a;
    memcpy(&a, message, sizeof a);
    int is_config = a.region == CONFIG_REGION;
    uint64_t size = is_config ? sizeof config : a.region == 0 ? sizeof bar : 0;
    int is_write = h->command == REGION_WRITE;
    if (n < sizeof a || a.count > 256 || a.offset > size || a.count > size - a.offset
            || (is_write && n != sizeof a + a.count))
        return send_reply(h, NULL, 0, EINVAL, -1);
    if (is_write) {
        (is_config ? config_write : bar_write)(a.offset, message + sizeof a, a.count);
        return send_reply(h, &a, sizeof a, 0, -1);
    }
    memcpy(message + sizeof a, (is_config ? config : bar) + a.offset, a.count);
    return send_reply(h, message, sizeof a + a.count, 0, -1);
}

static int irqs(struct header *h, int fd)
{
    uint32_t flags = get32(message + 4), index = get32(message + 8), start = get32(message + 12),
             count = get32(message + 16);
    if (index == MSIX && (flags & 7) == 4 && count == 1 && start < VECTORS) {
        if (vectors[start] >= 0)
            close(vectors[start]);
        vectors[start] = fd < 0 ? -1 : dup(fd);
    } else if (index == MSIX && count == 0) {
        for (int i = 0; i < VECTORS; i++)
            if (vectors[i] >= 0) {
                close(vectors[i]);
                vectors[i] = -1;
            }
    } else {
        return send_reply(h, NULL, 0, EINVAL, -1);
    }
    return send_reply(h, NULL, 0, 0, -1);
}

static int handle(struct header *h, size_t n, int fd)
{
    uint32_t index = get32(message + 8);
    switch (h->command) {
    case VERSION:
        return version(h);
    case GET_INFO: {
        uint32_t info[4] = { sizeof info, 3, 9, 5 };
        return send_reply(h, info, sizeof info, 0, -1);
    }
    case GET_REGION_INFO: {
        uint64_t size = index == 0 ? sizeof bar : index == CONFIG_REGION ? sizeof config : 0;
        uint32_t info[8] = { sizeof info, size ? 3 : 0, index, 0, size, 0, 0, 0 };
        return send_reply(h, info, sizeof info, 0, -1);
    }
    case GET_IRQ_INFO: {
        uint32_t info[4] = { sizeof info, 1, index, index == MSIX ? VECTORS : 0 };
        return send_reply(h, info, sizeof info, 0, -1);
    }
    case DMA_MAP: // all memory is asked for; where it begins and ends is the client's to know
    case DMA_UNMAP:
        return send_reply(h, message, h->command == DMA_UNMAP ? 24 : 0, 0, -1);
    case SET_IRQS:
        return irqs(h, fd);
    case REGION_READ:
    case REGION_WRITE:
        return region_access(h, n);
    case RESET:
        reset();
        return send_reply(h, NULL, 0, 0, -1);
    default:
        return send_reply(h, NULL, 0, ENOTSUP, -1);
    }
}

static void serve(void)
{
    struct header h;
    char control[CMSG_SPACE(sizeof(int) * 16)];
    for (int goes_on = 1; goes_on;) {
        struct iovec part = { &h, sizeof h };
        struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                            .msg_controllen = sizeof control };
        int fd = -1;
        if (recvmsg(client, &m, MSG_WAITALL | MSG_CMSG_CLOEXEC) != sizeof h)
            break;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        if (c && c->cmsg_type == SCM_RIGHTS)
            memcpy(&fd, CMSG_DATA(c), sizeof fd);
        size_t n = h.size - sizeof h;
        memset(message, 0, 64);
        goes_on = h.size >= sizeof h && n < sizeof message && !read_all(client, message, n);
        message[goes_on ? n : 0] = 0;
        goes_on = goes_on && !handle(&h, n, fd);
        if (fd >= 0)
            close(fd);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    struct stat st;
    if (argc != 3 || strlen(argv[1]) >= sizeof name.sun_path) {
        fprintf(stderr, "usage: %s SOCKET FILE\n", argv[0]);
        return 64;
    }
    strcpy(name.sun_path, argv[1]);
    unlink(argv[1]);
    disk = open(argv[2], O_RDWR | O_CLOEXEC);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (disk < 0 || fstat(disk, &st) || bind(listener, (struct sockaddr *)&name, sizeof name)
            || listen(listener, 1)) {
        perror(disk < 0 ? argv[2] : argv[1]);
        return 1;
    }
    sectors = st.st_size / SECTOR;
    // Vendor and device for tests; mass storage, NVM Express; MSI-X at 0x40.
    memcpy(config, "\x09\x12\x01\x00", 4);
    config[0x06] = 0x10;
    memcpy(config + 8, "\x01\x02\x08\x01", 4);
    config[0x34] = 0x40;
    config[0x40] = 0x11;
    config[0x42] = VECTORS - 1;
    put32(config + 0x44, MSIX_TABLE);
    put32(config + 0x48, MSIX_PBA);
    memset(vectors, 0xff, sizeof vectors);
    printf("ready %s\n", argv[1]);
    fflush(stdout);
    while ((client = accept(listener, NULL, NULL)) >= 0) {
        reset();
        serve();
        for (int i = 0; i < VECTORS; i++)
            if (vectors[i] >= 0)
                close(vectors[i]);
        memset(vectors, 0xff, sizeof vectors);
        close(client);
        if (twin >= 0)
            close(twin);
        twin = -1;
    }
    return 1;
}
