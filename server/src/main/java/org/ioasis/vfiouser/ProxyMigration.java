// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.VFIO_DEVICE_STATE_LAST;
import static org.ioasis.spec.VfioUser.VFIO_DEVICE_STATE_RUNNING;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.Consumer;
import org.ioasis.pci.Migration;
import org.ioasis.sys.Errno;
import org.jspecify.annotations.Nullable;

/**
 * A device server's device that moves with its VM: its states and its data are the server's, and
 * pass through. Which memory it has written meanwhile is not told. Loop thread.
 */
final class ProxyMigration implements Migration {
    private static final byte[] NOTHING = {};

    private final long flags;
    private final Consumer<Command> server;

    /** What the VMM takes the device's state to be. */
    private int state = VFIO_DEVICE_STATE_RUNNING;

    /**
     * @param server where commands go
     */
    ProxyMigration(long flags, Consumer<Command> server) {
        this.flags = flags;
        this.server = server;
    }

    /** False in the middle of a move: a server that begins anew has not what the VMM counts on. */
    boolean isRunning() {
        return state == VFIO_DEVICE_STATE_RUNNING;
    }

    /** The device was reset, or is another VMM's. */
    void restarts() {
        state = VFIO_DEVICE_STATE_RUNNING;
    }

    @Override
    public long flags() {
        return flags;
    }

    @Override
    public void state(Answer answer) {
        server.accept(
                Command.state((errno, in, at) -> {
                    byte[] state = in == null ? NOTHING : bytes(in, at, Integer.BYTES);
                    boolean isState =
                            in == null
                                    || Integer.compareUnsigned(
                                                    in.get(Codec.U32, at), VFIO_DEVICE_STATE_LAST)
                                            <= 0;
                    answer.done(isState ? errno : Errno.EIO, state);
                }));
    }

    @Override
    public void changeState(int newState, Answer answer) {
        server.accept(
                Command.changeState(
                        newState,
                        (errno, _, _) -> {
                            if (errno == 0) {
                                state = newState;
                            }
                            answer.done(errno, NOTHING);
                        }));
    }

    @Override
    public void read(int size, Answer answer) {
        server.accept(
                Command.migRead(size, (errno, in, at) -> answer.done(errno, counted(in, at))));
    }

    private static byte[] counted(@Nullable MemorySegment in, long at) {
        return in == null ? NOTHING : bytes(in, at + Integer.BYTES, in.get(Codec.U32, at));
    }

    private static byte[] bytes(MemorySegment in, long at, long count) {
        return in.asSlice(at, count).toArray(ValueLayout.JAVA_BYTE);
    }

    @Override
    public void write(byte[] data, Answer answer) {
        server.accept(Command.migWrite(data, (errno, _, _) -> answer.done(errno, NOTHING)));
    }
}
