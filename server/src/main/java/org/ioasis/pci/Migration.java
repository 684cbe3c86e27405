// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

/**
 * What a device does that can move to another server with its VM: it has states, and a stream of
 * data in some of them (vfio-user, "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE"). Who asks waits for an
 * answer before it asks again. Loop thread.
 */
public interface Migration {
    /** Hears of the end of a question, perhaps at once. */
    @FunctionalInterface
    interface Answer {
        /**
         * @param errno 0: it is done
         * @param data what was asked for, then; empty for what asks for nothing
         */
        void done(int errno, byte[] data);
    }

    /** {@code VFIO_MIGRATION_*}: which states it has beside those that all have. */
    long flags();

    /** Asks for its state: 4 bytes. */
    void state(Answer answer);

    /** Has it change its state, which is over when it is answered. */
    void changeState(int state, Answer answer);

    /** Reads on in its data, at most {@code size} bytes; less: there is no more. */
    void read(int size, Answer answer);

    /** Gives it more of the data of the one that it takes over from. */
    void write(byte[] data, Answer answer);
}
