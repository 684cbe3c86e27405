// SPDX-License-Identifier: Apache-2.0
/** The event loop: one platform thread and one epoll that serve everything of one machine. */
@NullMarked
package org.ioasis.loop;

import org.jspecify.annotations.NullMarked;
