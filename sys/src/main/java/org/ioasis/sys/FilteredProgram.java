// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;

/**
 * A program that was started under a {@link CallFilter}, in our folder, and with our standard
 * streams and environment unless it is given others. Needs no rights: seccomp(2) asks for
 * PR_SET_NO_NEW_PRIVS only, so the program and what it starts cannot gain any (set-user-id files
 * lose their effect).
 *
 * <p>A filter belongs to a thread, and a child gets that of the thread that made it. So a thread of
 * our own installs it, starts the program and ends. It does nothing between the two that could load
 * a class: its own calls would come to us, and we do not listen yet.
 *
 * <p>Whoever wants the listener and whoever wants the program wait on threads of their own, and the
 * listener has to be served before the program is there: {@link #awaitListener}, {@link #awaitPid}.
 */
public final class FilteredProgram {
    private static final int PR_SET_NO_NEW_PRIVS = 38;
    private static final long SYS_SECCOMP = 317;
    private static final int SECCOMP_SET_MODE_FILTER = 1;
    private static final int SECCOMP_GET_NOTIF_SIZES = 3;
    private static final int SECCOMP_FILTER_FLAG_NEW_LISTENER = 8;

    /**
     * Once we have received a call, only a signal that kills ends its wait (Linux 5.19). Without it
     * any signal would, and the program would repeat an ioctl that has had its effect.
     */
    private static final int SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32;

    // spawn.h of glibc on x86-64.
    private static final int SIZEOF_POSIX_SPAWNATTR = 336;
    private static final int SIZEOF_POSIX_SPAWN_FILE_ACTIONS = 80;
    private static final int SIZEOF_SIGSET = 128;
    private static final short POSIX_SPAWN_SETSIGDEF = 4;
    private static final short POSIX_SPAWN_SETSIGMASK = 8;

    private static final long STACK_BYTES = 512 << 10;

    private final Arena arena = Arena.ofShared();
    private final MemorySegment errno = arena.allocate(Linux.ERRNO);
    private final MemorySegment filter;
    private final MemorySegment attributes = arena.allocate(SIZEOF_POSIX_SPAWNATTR, 16);
    private final MemorySegment files = arena.allocate(SIZEOF_POSIX_SPAWN_FILE_ACTIONS, 16);
    private final MemorySegment path;
    private final MemorySegment arguments;
    private final MemorySegment environment;
    private final MemorySegment pid = arena.allocate(JAVA_INT);
    private final ProgramSetting setting;
    private final String name;
    private final CountDownLatch installed = new CountDownLatch(1);
    private final Thread thread;

    /** What seccomp returned: a descriptor or the negative errno. Written before installed. */
    private volatile int listener;

    /** What posix_spawnp returned, an errno or 0. Written before the thread ends. */
    private volatile int spawned;

    private FilteredProgram(CallFilter filter, List<byte[]> command, ProgramSetting setting) {
        this.setting = setting;
        this.filter = filter.program(arena);
        path = string(command.getFirst());
        name = path.getString(0);
        arguments = arena.allocate(ADDRESS, command.size() + 1L);
        for (int i = 0; i < command.size(); i++) {
            arguments.setAtIndex(ADDRESS, i, string(command.get(i)));
        }
        environment =
                setting.environment() == null
                        ? Handles.environment()
                        : words(setting.environment());
        thread =
                Thread.ofPlatform()
                        .name("starts " + name)
                        .stackSize(STACK_BYTES)
                        .unstarted(this::run);
    }

    /**
     * Begins to start a program.
     *
     * @param command file (looked for on the PATH if it has no slash) and arguments, as bytes
     * @throws ErrnoException the kernel has no such mechanism, or forbids it
     */
    public static FilteredProgram start(CallFilter filter, List<byte[]> command)
            throws ErrnoException {
        return start(filter, command, ProgramSetting.INHERITED);
    }

    /** The same with streams and environment of its own. */
    public static FilteredProgram start(
            CallFilter filter, List<byte[]> command, ProgramSetting setting) throws ErrnoException {
        if (command.isEmpty()) {
            throw new IllegalArgumentException("no program");
        }
        FilteredProgram program = new FilteredProgram(filter, command, setting);
        program.prepare();
        JvmFiles.keepFromPrograms();
        program.thread.start();
        return program;
    }

    /** The file that was to be started, for messages. */
    public String name() {
        return name;
    }

    /**
     * Waits until the filter is installed.
     *
     * @throws ErrnoException EINVAL, ENOSYS: the kernel cannot; EPERM, EACCES: it is forbidden
     *     here; EBUSY: we run under such a listener ourselves
     */
    public CallListener awaitListener() throws ErrnoException, InterruptedException {
        installed.await();
        int got = listener;
        if (got < 0) {
            throw new ErrnoException("seccomp", "SECCOMP_FILTER_FLAG_NEW_LISTENER", -got);
        }
        return CallListener.own(got);
    }

    /**
     * Waits until the program is started; the listener must be served meanwhile.
     *
     * @throws ErrnoException ENOENT: there is no such file; EACCES: it may not be executed;
     *     ENOEXEC: it is no program; what {@link #awaitListener} throws
     */
    public int awaitPid() throws ErrnoException, InterruptedException {
        thread.join();
        if (listener < 0) {
            throw new ErrnoException("seccomp", "SECCOMP_FILTER_FLAG_NEW_LISTENER", -listener);
        }
        if (spawned != 0) {
            throw new ErrnoException("posix_spawnp", name, spawned);
        }
        return pid.get(JAVA_INT, 0);
    }

    private void prepare() throws ErrnoException {
        try {
            // SAFETY: attributes has the size of posix_spawnattr_t, sets that of sigset_t.
            MemorySegment all = arena.allocate(SIZEOF_SIGSET, 8);
            MemorySegment none = arena.allocate(SIZEOF_SIGSET, 8);
            all.fill((byte) 0xff);
            Signals.keepIgnored(all);
            int e = (int) Handles.ATTR_INIT.invokeExact(attributes);
            e |= (int) Handles.ATTR_SETSIGDEFAULT.invokeExact(attributes, all);
            e |= (int) Handles.ATTR_SETSIGMASK.invokeExact(attributes, none);
            short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
            e |= (int) Handles.ATTR_SETFLAGS.invokeExact(attributes, flags);
            e |= (int) Handles.FILES_INIT.invokeExact(files);
            e |= stream(setting.input(), 0);
            e |= stream(setting.output(), 1);
            e |= stream(setting.errors(), 2);
            if (e != 0) {
                throw new ErrnoException("posix_spawnattr", "", e);
            }
            // Through the same handle as the call that counts: nothing is linked or loaded after
            // that. It also says whether the kernel knows the mechanism at all.
            MemorySegment sizes = arena.allocate(6, 2);
            int result =
                    (int)
                            Linux.result(
                                    (long)
                                            Handles.SECCOMP.invokeExact(
                                                    errno,
                                                    SYS_SECCOMP,
                                                    SECCOMP_GET_NOTIF_SIZES,
                                                    0,
                                                    sizes),
                                    errno);
            if (FailureInjection.strikes()) {
                result = -Errno.ENOSYS;
            }
            if (result < 0) {
                throw new ErrnoException("seccomp", "SECCOMP_GET_NOTIF_SIZES", -result);
            }
            CallListener.prepare(sizes);
        } catch (ErrnoException e) {
            throw e;
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private void run() {
        try {
            // SAFETY: plain numbers.
            int result =
                    Linux.result(
                            (int)
                                    Handles.PRCTL.invokeExact(
                                            errno, PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L),
                            errno);
            if (result == 0) {
                // SAFETY: filter is a struct sock_fprog whose code lies in the same arena.
                result =
                        (int)
                                Linux.result(
                                        (long)
                                                Handles.SECCOMP.invokeExact(
                                                        errno,
                                                        SYS_SECCOMP,
                                                        SECCOMP_SET_MODE_FILTER,
                                                        SECCOMP_FILTER_FLAG_NEW_LISTENER
                                                                | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                                                        filter),
                                        errno);
            }
            listener = result;
            installed.countDown();
            if (result >= 0) {
                // SAFETY: strings end with a zero byte, both arrays with a null pointer; the
                // kernel copies them before the call returns.
                spawned =
                        (int)
                                Handles.POSIX_SPAWNP.invokeExact(
                                        pid, path, files, attributes, arguments, environment);
            }
        } catch (Throwable e) {
            listener = -Errno.ENOSYS;
            installed.countDown();
            throw Linux.rethrow(e);
        }
    }

    private int stream(@Nullable Fd from, int number) throws Throwable {
        // SAFETY: files is initialized; plain ints.
        return from == null
                ? 0
                : (int) Handles.FILES_DUP2.invokeExact(files, from.number(), number);
    }

    private MemorySegment words(Map<String, String> variables) {
        MemorySegment array = arena.allocate(ADDRESS, variables.size() + 1L);
        int i = 0;
        for (Map.Entry<String, String> variable : variables.entrySet()) {
            String word = variable.getKey() + "=" + variable.getValue();
            array.setAtIndex(ADDRESS, i++, string(word.getBytes(StandardCharsets.UTF_8)));
        }
        return array;
    }

    private MemorySegment string(byte[] bytes) {
        MemorySegment text = arena.allocate(bytes.length + 1L);
        MemorySegment.copy(
                bytes, 0, text, java.lang.foreign.ValueLayout.JAVA_BYTE, 0, bytes.length);
        return text;
    }

    /** Apart, so that they are linked on the caller's thread, before the filter is there. */
    private static final class Handles {
        static final MethodHandle PRCTL =
                Linux.linkVariadic(
                        "prctl",
                        1,
                        FunctionDescriptor.of(
                                JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG));
        static final MethodHandle SECCOMP =
                Linux.linkVariadic(
                        "syscall",
                        1,
                        FunctionDescriptor.of(JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, ADDRESS));
        static final MethodHandle POSIX_SPAWNP =
                Linux.linkWithoutErrno(
                        "posix_spawnp",
                        FunctionDescriptor.of(
                                JAVA_INT, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS));
        static final MethodHandle FILES_INIT =
                Linux.linkWithoutErrno(
                        "posix_spawn_file_actions_init", FunctionDescriptor.of(JAVA_INT, ADDRESS));
        static final MethodHandle FILES_DUP2 =
                Linux.linkWithoutErrno(
                        "posix_spawn_file_actions_adddup2",
                        FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT));
        static final MethodHandle ATTR_INIT =
                Linux.linkWithoutErrno(
                        "posix_spawnattr_init", FunctionDescriptor.of(JAVA_INT, ADDRESS));
        static final MethodHandle ATTR_SETSIGDEFAULT =
                Linux.linkWithoutErrno(
                        "posix_spawnattr_setsigdefault",
                        FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS));
        static final MethodHandle ATTR_SETSIGMASK =
                Linux.linkWithoutErrno(
                        "posix_spawnattr_setsigmask",
                        FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS));
        static final MethodHandle ATTR_SETFLAGS =
                Linux.linkWithoutErrno(
                        "posix_spawnattr_setflags",
                        FunctionDescriptor.of(
                                JAVA_INT, ADDRESS, java.lang.foreign.ValueLayout.JAVA_SHORT));

        private Handles() {}

        /** The C library's own {@code environ}: Java would not give back bytes that are no text. */
        // SAFETY: environ is one pointer in the C library's data, never unmapped; what it points to
        // is changed by nobody, since Java has no setenv.
        @SuppressWarnings("restricted") // a variable of the C library has no bounds of its own
        static MemorySegment environment() {
            return Linker.nativeLinker()
                    .defaultLookup()
                    .findOrThrow("environ")
                    .reinterpret(ADDRESS.byteSize())
                    .get(ADDRESS, 0);
        }
    }
}
