// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.ioasis.pci.Migration;
import org.ioasis.sys.Errno;
import org.jspecify.annotations.Nullable;

/**
 * A client's commands for a device that moves with its VM: which of them there are, and what goes
 * into their answers (vfio-user, "VFIO_USER_DEVICE_FEATURE"). One object for each session. Loop
 * thread.
 */
final class MigrationMessages {
    private static final byte[] NOTHING = {};

    private final @Nullable Migration device;

    /**
     * @param device null: it cannot move
     */
    MigrationMessages(@Nullable Migration device) {
        this.device = device;
    }

    void feature(Request.Feature asked, Migration.Answer done) {
        Migration of = device;
        int refused = of == null ? Errno.ENOTSUP : problem(asked);
        if (of == null || refused != 0) {
            done.done(refused, NOTHING);
        } else if ((asked.action() & VFIO_DEVICE_FEATURE_PROBE) != 0) {
            done.done(0, NOTHING);
        } else if (asked.feature() == VFIO_DEVICE_FEATURE_MIGRATION) {
            done.done(0, bytes(MIGRATION_FLAGS_SIZE).putLong(of.flags()).array());
        } else if (asked.action() == VFIO_DEVICE_FEATURE_SET) {
            of.changeState(asked.state(), (errno, _) -> done.done(errno, state(asked.state())));
        } else {
            of.state((errno, data) -> done.done(errno, errno == 0 ? state(data) : NOTHING));
        }
    }

    private static int problem(Request.Feature asked) {
        boolean isSet = (asked.action() & VFIO_DEVICE_FEATURE_SET) != 0;
        boolean isProbe = (asked.action() & VFIO_DEVICE_FEATURE_PROBE) != 0;
        return switch (asked.feature()) {
            case VFIO_DEVICE_FEATURE_MIGRATION ->
                    isSet ? Errno.ENOTSUP : room(asked, isProbe ? 0 : MIGRATION_FLAGS_SIZE);
            case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE -> {
                int wrong = room(asked, isProbe ? 0 : MIG_STATE_SIZE);
                yield wrong == 0 && isSet && !isProbe && !isState(asked.state())
                        ? Errno.EINVAL
                        : wrong;
            }
            default -> Errno.ENOTSUP;
        };
    }

    private static int room(Request.Feature asked, int data) {
        return asked.room() < FEATURE_DATA + data ? Errno.EINVAL : 0;
    }

    /** One that can be asked for: ERROR is none of these, nor is what vfio-user does not use. */
    private static boolean isState(int state) {
        return switch (state) {
            case VFIO_DEVICE_STATE_STOP,
                    VFIO_DEVICE_STATE_RUNNING,
                    VFIO_DEVICE_STATE_STOP_COPY,
                    VFIO_DEVICE_STATE_RESUMING,
                    VFIO_DEVICE_STATE_PRE_COPY ->
                    true;
            default -> false;
        };
    }

    private static byte[] state(int state) {
        // No descriptor goes with it: data comes in messages.
        return bytes(MIG_STATE_SIZE).putInt(state).putInt(-1).array();
    }

    private static byte[] state(byte[] data) {
        return state(ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN).getInt());
    }

    private static ByteBuffer bytes(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    void read(Request.MigRead asked, Migration.Answer done) {
        Migration of = device;
        if (of == null) {
            done.done(Errno.ENOTSUP, NOTHING);
        } else {
            of.read(asked.size(), done);
        }
    }

    void write(Request.MigWrite asked, Migration.Answer done) {
        Migration of = device;
        if (of == null) {
            done.done(Errno.ENOTSUP, NOTHING);
        } else {
            byte[] data =
                    asked.data()
                            .asSlice(asked.dataOffset(), asked.size())
                            .toArray(ValueLayout.JAVA_BYTE);
            of.write(data, done);
        }
    }
}
