// SPDX-License-Identifier: Apache-2.0
package org.ioasis.selftests;

import java.io.IOException;
import java.util.List;
import org.ioasis.program.ProgramRun;
import org.ioasis.sys.ErrnoException;

/** What one program of the kernel's tests finds, anew for each. One thread. */
interface TestHost extends AutoCloseable {
    /** Addresses of its devices, which it is told behind its other arguments. */
    List<String> devices();

    ProgramRun start(List<byte[]> command) throws ErrnoException, IOException, InterruptedException;

    /** When the program has ended. */
    @Override
    void close() throws IOException;
}
