// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.sys.Errno;
import org.jspecify.annotations.Nullable;

/**
 * A line for each call that was answered here: who called, the call with its fields, what it
 * returned, and for a refusal the rule that refused it, which no other tracer can know.
 * Supervisor's thread; {@link #close} after it.
 */
public final class CallTrace implements AutoCloseable {
    /** By its first line a file is known as a trace of ours. */
    public static final String HEADER = "ioasis host: thread, call, answer";

    /** Where a trace ends, so that a program that calls without end does not fill the disk. */
    static final long LIMIT_BYTES = 1L << 30;

    private static final String UNMAPPABLE =
            "not MAP_SHARED, or not whole inside of a BAR that is memory: registers are read and written by pread and"
                    + " pwrite";

    private static final String PRIVATE =
            "(private memory: no device's DMA reaches it; share it, as a memfd or MAP_SHARED)";

    private final @Nullable OutputStream out;
    private final long limitBytes;
    private long written;
    private long leftOut;
    private long privateRuns;
    private final StringBuilder line = new StringBuilder();
    private final IoctlText ioctl = new IoctlText();

    private CallTrace(@Nullable OutputStream out, long limitBytes) {
        this.out = out;
        this.limitBytes = limitBytes;
    }

    /** One that writes nothing and costs nothing. */
    public static CallTrace none() {
        return new CallTrace(null, 0);
    }

    /** Writes to a stream, which is closed with it; begins with {@link #HEADER}. */
    public static CallTrace to(OutputStream out) throws IOException {
        out.write((HEADER + "\n").getBytes(StandardCharsets.UTF_8));
        out.flush();
        return to(out, LIMIT_BYTES);
    }

    static CallTrace to(OutputStream out, long limitBytes) {
        return new CallTrace(out, limitBytes);
    }

    boolean isOn() {
        return out != null;
    }

    void opened(int thread, String path, int result) {
        if (isOn() && result != Devices.KERNEL_HAS_IT) {
            begin(thread).append("open(").append(path).append(')');
            end(result, null);
        }
    }

    /** Before the call: its argument is what the program gave. */
    void beginsIoctl(TaskCaller caller, OpenFile file, int command, long argument) {
        if (isOn()) {
            caller.forgetReason();
            privateRuns = caller.privateRuns();
            begin(caller.thread()).append("ioctl(").append(file.name()).append(", ");
            ioctl.before(caller, command, argument, line);
            line.append(')');
        }
    }

    /** After it: what has changed there is what the program gets. */
    void endsIoctl(TaskCaller caller, long result) {
        if (isOn()) {
            boolean isPrivate = result >= 0 && caller.privateRuns() != privateRuns;
            String words = result < 0 ? caller.reason() : ioctl.after(caller);
            end(result, isPrivate ? words + PRIVATE : words);
        }
    }

    void transferred(TaskCaller caller, OpenFile file, boolean isWrite, long length, long result) {
        if (isOn()) {
            begin(caller.thread())
                    .append(isWrite ? "write(" : "read(")
                    .append(file.name())
                    .append(", ")
                    .append(length)
                    .append(')');
            end(result, null);
        }
    }

    /**
     * Of a transfer to or from several places.
     *
     * @param count of these places
     */
    void transferredVector(
            TaskCaller caller, OpenFile file, boolean isWrite, long count, long result) {
        if (isOn()) {
            begin(caller.thread())
                    .append(isWrite ? "writev(" : "readv(")
                    .append(file.name())
                    .append(", vectors=")
                    .append(count)
                    .append(')');
            end(result, null);
        }
    }

    /** A bug of ours has ended a call: of an ioctl what is known of it, else its number. */
    void failed(int thread, int number) {
        if (isOn()) {
            if (line.isEmpty()) {
                begin(thread).append("call ").append(number);
            }
            end(-Errno.EIO, "a fault of ioasis itself, see what it printed");
        }
    }

    void mapped(TaskCaller caller, OpenFile file, long offset, long length, long result) {
        if (isOn()) {
            begin(caller.thread())
                    .append("mmap(")
                    .append(file.name())
                    .append(", offset=0x")
                    .append(Long.toHexString(offset))
                    .append(", length=")
                    .append(length)
                    .append(')');
            end(result, result == -Errno.EINVAL ? UNMAPPABLE : null);
        }
    }

    /**
     * A device's access was refused: what the program has mapped is not what the device used.
     * Limited in their rate by who reports them.
     */
    public void refused(String access) {
        if (isOn()) {
            line.setLength(0);
            line.append("refused access: ").append(access);
            write();
            line.setLength(0);
        }
    }

    void released(OpenFile file) {
        if (isOn()) {
            line.setLength(0);
            line.append("last close of ").append(file.name());
            write();
            line.setLength(0);
        }
    }

    /** Says what was left out, if anything was. */
    @Override
    public void close() throws IOException {
        if (out != null) {
            if (leftOut > 0) {
                out.write(
                        ("the trace has reached its limit; calls left out: " + leftOut + "\n")
                                .getBytes(StandardCharsets.UTF_8));
            }
            out.close();
        }
    }

    private StringBuilder begin(int thread) {
        line.setLength(0);
        return line.append(thread).append(' ');
    }

    private void end(long result, @Nullable String words) {
        line.append(" = ");
        if (result < 0 && result >= -4095) {
            line.append("-1 ").append(Errno.name((int) -result));
        } else {
            line.append(result);
        }
        if (words != null && !words.isEmpty()) {
            line.append(result < 0 ? ": " : " ").append(words);
        }
        write();
        // Empty while no call has begun to be written down.
        line.setLength(0);
    }

    private void write() {
        OutputStream to = out;
        if (to == null) {
            return;
        }
        byte[] bytes = line.append('\n').toString().getBytes(StandardCharsets.UTF_8);
        if (written + bytes.length > limitBytes) {
            leftOut++;
            return;
        }
        written += bytes.length;
        try {
            to.write(bytes);
            // At once: the next call may be the last that the program makes.
            to.flush();
        } catch (IOException e) {
            // The disk is full; the program goes on.
            leftOut++;
        }
    }
}
