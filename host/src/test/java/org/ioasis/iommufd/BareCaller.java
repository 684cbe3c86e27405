// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * A caller without files, windows and rights: a test's program adds what it has. It keeps the rule
 * by which it was refused last. One thread.
 */
public abstract class BareCaller implements Caller {
    private final FailureInjector failures = new FailureInjector();

    public boolean mayLock;
    public String rule = "";

    @Override
    public @Nullable OpenFile served(int descriptor) {
        return null;
    }

    @Override
    public @Nullable ProgramFile file(int descriptor) {
        return null;
    }

    @Override
    public int install(OpenFile file, boolean isCloseOnExec) {
        return -Errno.EMFILE.number();
    }

    @Override
    public @Nullable MemorySegment window(OpenFile file, long offset, long length) {
        return null;
    }

    @Override
    public boolean hasMapped(OpenFile file, long offset, long length) {
        return false;
    }

    @Override
    public boolean mayLock() {
        return mayLock;
    }

    @Override
    public boolean mayRaiseLimits() {
        return false;
    }

    @Override
    public FailureInjector failures() {
        return failures;
    }

    @Override
    public void refuses(String why) {
        rule = why;
    }
}
