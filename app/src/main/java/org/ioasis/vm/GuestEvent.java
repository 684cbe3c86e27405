// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

/** What a running machine tells, line by line. Any thread. */
public sealed interface GuestEvent {
    /** A line of the guest's kernel or programs that is not meant for us. */
    record Text(String line) implements GuestEvent {}

    /** A line of QEMU itself, on its standard error. */
    record Vmm(String line) implements GuestEvent {}

    /** The guest begins the next step of its task, {@code micros} after its kernel started. */
    record Step(String name, long micros) implements GuestEvent {}

    /** A fact about the guest, for example {@code disk.seed.group} and {@code 3}. */
    record Fact(String key, String value) implements GuestEvent {}

    /** The guest gave up; the reason begins with the step that failed. */
    record Failed(String reason) implements GuestEvent {}

    /** The guest has done all it should and powers off, {@code micros} after its kernel started. */
    record Finished(long micros) implements GuestEvent {}

    /** A line that claims to be for us and is not what init writes: ignored, and counted. */
    record Malformed(String line) implements GuestEvent {}
}
