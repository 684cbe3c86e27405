// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

/** How a guest came to its end, as QEMU and its console tell. Immutable. */
public enum Ending {
    POWER_OFF("the guest powered off", 70),
    PANIC("the guest's kernel panicked", 71),
    REBOOT("the guest rebooted", 72),
    TIMEOUT("the guest did not end within its time", 73),
    /** By the user or a test. */
    KILLED("QEMU was killed", 1),
    QEMU_FAILED("QEMU failed", 1);

    private final String words;
    private final int code;

    Ending(String words, int code) {
        this.words = words;
        this.code = code;
    }

    /** For people. */
    public String words() {
        return words;
    }

    /** Exit code of a command whose guest ended so before it had done what it was to do. */
    public int code() {
        return code;
    }

    /** Judges an end. A guest that has panicked may reboot or stand still afterwards. */
    public static Ending of(QemuProcess.End end, GuestReport guest) {
        return switch (end) {
            case QemuProcess.End.Killed() -> KILLED;
            case QemuProcess.End.TimedOut _ -> guest.panic().isPresent() ? PANIC : TIMEOUT;
            case QemuProcess.End.Exited(int code) -> {
                if (code != 0) {
                    yield QEMU_FAILED;
                }
                // QEMU ends at a reset, of whatever cause, as at a power-off.
                yield guest.panic().isPresent() ? PANIC : guest.isPoweredOff() ? POWER_OFF : REBOOT;
            }
        };
    }
}
