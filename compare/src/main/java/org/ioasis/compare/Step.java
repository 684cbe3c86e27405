// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

/** One thing that is done to both devices. Immutable. */
sealed interface Step {
    /** A request; those in a row are sent in batches. */
    record Ask(Request request) implements Step {}

    /** A write to the configuration. */
    record Configure(int offset, int size, long value) implements Step {
        @Override
        public String toString() {
            return "0x%x written to configuration byte %d, %d bytes".formatted(value, offset, size);
        }
    }

    /** The device is reset, and the next driver accepts these features. */
    record Restart(long features) implements Step {
        @Override
        public String toString() {
            return "device reset, then a driver with features 0x%x".formatted(features);
        }
    }

    /** The machine is reset. */
    record Reboot() implements Step {
        @Override
        public String toString() {
            return "machine reset";
        }
    }

    /** The endpoint {@link Requests#DMA_ENDPOINT} reads or writes memory. */
    record Access(long iova, int length, boolean isWrite) implements Step {
        @Override
        public String toString() {
            return "%s of %d bytes at 0x%x".formatted(isWrite ? "write" : "read", length, iova);
        }
    }
}
