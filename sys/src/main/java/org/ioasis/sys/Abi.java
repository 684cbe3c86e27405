// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

/**
 * What differs between the two machines that Ioasis runs on. Everything else in this package is the
 * same on both: LP64 little-endian types and the asm-generic constants. Any thread.
 *
 * @param epollEventSize bytes of {@code struct epoll_event}, which is packed on x86-64 alone
 * @param epollDataOffset where its {@code data} begins
 * @param sendmsg number of the system call
 * @param recvmsg number of the system call
 * @param preadv2 number of the system call
 */
record Abi(int epollEventSize, int epollDataOffset, long sendmsg, long recvmsg, long preadv2) {
    /** This machine. */
    static final Abi HOST = of(System.getProperty("os.name"), System.getProperty("os.arch"));

    /** The machine that Java calls so. */
    static Abi of(String system, String machine) {
        if (system.equals("Linux")) {
            switch (machine) {
                case "amd64" -> {
                    return new Abi(12, 4, 46, 47, 327);
                }
                case "aarch64" -> {
                    return new Abi(16, 8, 211, 212, 286);
                }
                default -> {}
            }
        }
        throw new UnsupportedOperationException(
                "Ioasis runs on Linux on x86-64 and aarch64, this is " + system + " on " + machine);
    }
}
