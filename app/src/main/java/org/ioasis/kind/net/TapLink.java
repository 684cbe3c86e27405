// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.TapDevice;

/**
 * Frames through a network interface of the host's. The link is up as long as the interface exists;
 * while that is down, what the guest sends is lost. Threads as {@link Carrier}.
 */
final class TapLink extends Carrier {
    /** Longer than any interface's MTU allows. */
    private static final int FRAME_MAX = 64 << 10;

    /** Taken in one turn of the loop: the guest gets them before the next are taken. */
    static final int FRAMES_AT_ONCE = 64;

    private final String name;
    private final TapDevice device;
    private final MemorySegment in = Arena.ofAuto().allocate(FRAME_MAX);

    /** A frame that there was no room for. */
    private final MemorySegment out = Arena.ofAuto().allocate(FRAME_MAX);

    private int outLength;

    private TapLink(String name, TapDevice device) {
        this.name = name;
        this.device = device;
    }

    /**
     * Takes the end of an interface, which is made if there is none of that name.
     *
     * @throws ErrnoException as {@link TapDevice#open}
     */
    static TapLink open(String name) throws ErrnoException {
        return new TapLink(name, TapDevice.open(name));
    }

    @Override
    int fd() {
        return device.fd();
    }

    @Override
    void receive() throws ErrnoException {
        for (int i = 0; i < FRAMES_AT_ONCE; i++) {
            int length = device.receive(in, 0, FRAME_MAX);
            if (length == -Errno.EAGAIN) {
                return;
            }
            boolean _ = guest().receive(in, 0, length);
        }
    }

    @Override
    boolean isFull() {
        return outLength > 0;
    }

    @Override
    Sent take(MemorySegment frame, int length) {
        int result = device.send(frame, 0, length);
        if (result == -Errno.EAGAIN) {
            MemorySegment.copy(frame, 0, out, 0, length);
            outLength = length;
            return Sent.TAKEN;
        }
        // An interface that is gone is noticed by who reads; one that is down may come up again.
        return result < 0 ? Sent.LOST : Sent.TAKEN;
    }

    @Override
    void flush() {
        if (outLength > 0 && device.send(out, 0, outLength) != -Errno.EAGAIN) {
            outLength = 0;
        }
    }

    @Override
    public String description() {
        return "tap=" + name;
    }

    @Override
    public void close() {
        outLength = 0;
        device.close();
    }
}
