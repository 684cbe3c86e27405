// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.sys.Errno;

/**
 * A device that has nothing to do with an IOMMU: what the supervisor owes to any file of ours shows
 * on it. {@code toy.c} uses it. Supervisor's thread, counters after its end.
 */
final class ToyDevice {
    private static final int ECHO = 0x3b80;
    private static final int ID = 0x3b81;
    private static final int EVENTS = 0x3b82;
    private static final int ADD = 0x3b83;
    private static final int REFUSE = 0x3b84;
    private static final int BREAK = 0x3b85;
    private static final int SLOW = 0x3b86;
    private static final int OPEN_FILES = 0x3b87;
    private static final int MAPPED = 0x3b88;
    private static final int WINDOW = 0x3b89;
    private static final long PAGE = 4096;

    private final MemorySegment word = Arena.ofAuto().allocate(JAVA_LONG);
    private int made;
    private int open;
    private int slowCalls;

    int made() {
        return made;
    }

    /** SLOW calls that came here, answered or not. */
    int slowCalls() {
        return slowCalls;
    }

    int open() {
        return open;
    }

    Devices devices() {
        try {
            return new Devices(ProgramFiles.builder().iommu(_ -> new File()).build());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private final class File implements OpenFile {
        private final int id = ++made;
        private final List<Events> events = new ArrayList<>();

        File() {
            open++;
        }

        @Override
        public Form form() {
            return Form.DEVICE;
        }

        @Override
        public String name() {
            return "/dev/iommu." + id;
        }

        @Override
        public long ioctl(Caller caller, int command, long argument) {
            return switch (command) {
                case ECHO -> {
                    if (caller.read(argument, word, 0, 4) < 0) {
                        yield -Errno.EFAULT;
                    }
                    word.set(JAVA_INT, 0, word.get(JAVA_INT, 0) + 1);
                    yield caller.write(argument, word, 0, 4);
                }
                case ID -> id;
                case EVENTS -> {
                    Events file = new Events();
                    events.add(file);
                    yield caller.install(file, true);
                }
                case ADD -> {
                    events.getLast().waiting++;
                    yield 0;
                }
                case REFUSE -> {
                    caller.refuses("the toy refuses this");
                    yield -Errno.EBUSY;
                }
                case BREAK -> {
                    if (argument != 0) {
                        throw new OutOfMemoryError("planted");
                    }
                    throw new IllegalStateException("planted");
                }
                case SLOW -> {
                    slowCalls++;
                    for (int i = 0; i < 200; i++) {
                        if (caller.read(argument, word, 0, 4) < 0) {
                            yield -Errno.EFAULT;
                        }
                    }
                    yield 0;
                }
                case OPEN_FILES -> open;
                case MAPPED -> caller.hasMapped(this, PAGE, PAGE) ? 1 : 0;
                case WINDOW -> {
                    MemorySegment window = caller.window(this, PAGE, PAGE);
                    if (window == null) {
                        yield -Errno.ENOMEM;
                    }
                    int before = window.get(JAVA_INT, 0);
                    window.set(JAVA_INT, 0, (int) argument);
                    yield before;
                }
                default -> -Errno.ENOTTY;
            };
        }

        @Override
        public long map(long offset, long length, int protection, int flags) {
            return offset == PAGE && length == PAGE ? 0 : -Errno.ENXIO;
        }

        @Override
        public void release() {
            open--;
        }
    }

    /** Each event is a number of eight bytes, counted from one. */
    private final class Events implements OpenFile {
        private int waiting;
        private long next = 1;

        Events() {
            open++;
        }

        @Override
        public Form form() {
            return Form.EVENTS;
        }

        @Override
        public String name() {
            return "events";
        }

        @Override
        public long read(Caller caller, long address, long length) {
            if (length < 8) {
                return -Errno.EINVAL;
            }
            if (waiting == 0) {
                return 0;
            }
            word.set(JAVA_LONG, 0, next);
            if (caller.write(address, word, 0, 8) < 0) {
                return -Errno.EFAULT;
            }
            waiting--;
            next++;
            return 8;
        }

        @Override
        public boolean isReadable() {
            return waiting > 0;
        }

        @Override
        public void release() {
            open--;
        }
    }
}
